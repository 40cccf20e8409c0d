"""What a person does around mining: setting it up, examining it, the fire drill. One job a module, no printing."""
