"""The Dockerfile's image answers an upload; what can be told without a browser is in tests/app/test_deployment.py."""

import subprocess
import sys

from benchmarks.app_server import HEALTH, running_app
from benchmarks.app_visitor import confidences, expected_confidences, upload, visit
from tests.app.test_deployment import arguments_of, copy_image, read_dockerfile, write_guard


def test_image_answers_an_upload_with_its_own_packages_alone(model, context, predict, voice_wav, tmp_path):
    assert arguments_of("CMD")[:3] == ["streamlit", "run", "app/app.py"]
    home, image, guard = (tmp_path / name for name in ("home", "image", "guard"))
    for folder in (home, image, guard):
        folder.mkdir()
    (settings,) = [rest for name, rest in read_dockerfile() if name == "ENV"]
    variables = dict(setting.split("=") for setting in settings.split())
    variables |= {"PYTHONPATH": str(write_guard(guard)), "HOME": str(home), "SER_CHECKPOINT": str(model)}
    with running_app(tmp_path / "server.log", variables=variables, root=copy_image(image)) as server:
        page = visit(context(), server.url)
        upload(page, {"hello.wav": voice_wav(3)})
        assert confidences(page) == expected_confidences(predict(voice_wav(3)))
        port = server.url.rpartition(":")[2]
        check = arguments_of("HEALTHCHECK")
        assert HEALTH in check[-1]
        command = [sys.executable, *(part.replace("8501", port) for part in check[1:])]
        assert subprocess.run(command, check=False).returncode == 0
    assert subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode != 0
    assert not list(home.iterdir()), "something is kept in the home folder"
