"""Many visitors at once: nobody gets another's answer."""

import pytest

from benchmarks.app_server import is_healthy
from benchmarks.app_visitor import confidences, expected_confidences, upload_together, visit

VISITORS = 20


@pytest.mark.timeout(600)  # two busy cores draw twenty pages in minutes
def test_twenty_visitors_at_once_each_get_their_own_answer(server, context, predict, voice_wav):
    contents = [voice_wav(seed) for seed in range(VISITORS)]
    expected = [expected_confidences(predict(content)) for content in contents]
    assert len({tuple(rows) for rows in expected}) == VISITORS
    # Four tabs in each browser profile: a profile for everyone takes half as long again.
    profiles = [context(viewport={"width": 600, "height": 600}) for _ in range(VISITORS // 4)]
    pages = [visit(profiles[number // 4], server.url) for number in range(VISITORS)]
    upload_together([(page, {"same-name.wav": content}) for page, content in zip(pages, contents, strict=True)])
    assert [confidences(page) for page in pages] == expected
    assert is_healthy(server.url)
