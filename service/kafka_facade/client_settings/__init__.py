"""Client settings as people have them, with the Java client's names, as the clients take them."""
