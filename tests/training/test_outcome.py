from ser.training.outcome import in_folder, settings_of

CONFIGURATION = {
    "paths": {"run_dir": "/a/run", "cache_dir": "/a/cache"},
    "callbacks": {"checkpoint": {"dirpath": "/a/run/checkpoints"}, "other": {"dirpath": "/a/running"}},
    "logger": {"csv": {"save_dir": "/a/run"}},
    "ckpt_path": None,
    "seed": 1,
}


def test_a_run_that_was_moved_has_its_paths_in_the_new_folder():
    moved = in_folder(CONFIGURATION, "/b")
    assert moved["callbacks"] == {"checkpoint": {"dirpath": "/b/checkpoints"}, "other": {"dirpath": "/a/running"}}
    assert moved["logger"] == {"csv": {"save_dir": "/b"}}
    assert moved["paths"] == {"run_dir": "/b", "cache_dir": "/a/cache"}


def test_the_settings_of_a_run_do_not_say_where_it_lies():
    assert settings_of(CONFIGURATION) == settings_of(in_folder(CONFIGURATION, "/b") | {"ckpt_path": "/b"})
    assert settings_of(CONFIGURATION) != settings_of(CONFIGURATION | {"seed": 2})
