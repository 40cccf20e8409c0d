"""What a person does before mining: `init`, the nodes of this machine, their bitcoin.conf."""
