"""The command line of dicomnode: parse, call one function, print."""
