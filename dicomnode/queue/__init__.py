"""Who does what when: the steps that claim rows, the threads that take them, the sweeps that look for what is due."""
