import os
import signal

# Two workers share the cores, and a numerical reference is computed with as many threads as what it judges.
os.environ["OMP_NUM_THREADS"] = "1"

# A shell that runs the suite in the background makes it ignore Ctrl-C, which some tests press.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
