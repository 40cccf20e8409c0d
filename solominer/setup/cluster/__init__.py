"""Setting up a cluster: its certificates, the server's configuration, the nodes' join files."""
