"""Changes the code in small ways, and sees whether a test notices: `make mutate`.

Of our own, since the libraries did not fit this suite: mutmut 3 runs every test once before it begins (ten
minutes on two cores) and mutates a copy of the whole tree; cosmic-ray has one command for all modules, and
starts Python anew for each mutant; neither draws a sample. Here a mutant is one module compiled differently
in a forked process: no file is touched, tests are collected once a module, and only those run that enter the
changed function.
"""
