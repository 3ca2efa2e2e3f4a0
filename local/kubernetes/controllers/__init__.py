"""The controllers and the node of the simulated cluster, each a step from what is towards what should be."""
