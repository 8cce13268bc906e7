import threading

from house.threads import describe_thread, find_threads_left


def test_a_thread_that_is_left_is_found_and_one_that_ends_is_not():
    ending = threading.Event()
    before = threading.enumerate()
    thread = threading.Thread(target=ending.wait, name="heart")
    thread.start()
    try:
        assert find_threads_left(before, 0.02) == [thread]
        assert describe_thread(thread) == "heart (Event.wait)"
        assert find_threads_left(threading.enumerate(), 0.0) == []
    finally:
        threading.Timer(0.05, ending.set).start()
    assert find_threads_left(before) == []
