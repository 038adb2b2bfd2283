from app.inputs import Given, newest
from app.reading import Upload

UPLOAD = (Upload(key="a", name="a.wav", content=b""),)


def test_what_was_given_last_is_answered():
    given = {source: Given(source=source, uploads=UPLOAD) for source in ("example", "speak", "upload")}
    for source, one in given.items():
        assert newest(given, source) is one


def test_where_the_last_has_nothing_any_more_another_is_answered():
    speak = Given(source="speak", uploads=UPLOAD)
    given = {"example": None, "speak": speak, "upload": None}
    assert newest(given, "upload") is newest(given, None) is speak
    assert newest(dict.fromkeys(given), "upload") is None
