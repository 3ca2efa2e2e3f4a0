"""A scratch MongoDB for one drill: a Job in a namespace of its own, reached by port-forward."""
