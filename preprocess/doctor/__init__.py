"""What extraction needs of a machine, a file system and a cluster, tried out."""
