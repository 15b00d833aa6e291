"""The cache that huggingface_hub makes of a small repository, and where it keeps things for which environment.

  hub_cache.py OUT_DIR

Serves a repository of two small and two large (LFS) files on 127.0.0.1, lets snapshot_download fetch the branch main, a tag
and a pull request of it, and writes OUT_DIR/layout.json: the files served, and each file of the cache with its link or
its text; also what constants and get_token say for a list of environments. Made with huggingface_hub 0.36.2.
"""
import hashlib
import http.server
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading

out = pathlib.Path(sys.argv[1])
COMMIT = 'a' * 40
FILES = {
    'model_index.json': '{"_class_name": "StableDiffusionPipeline"}',
    'unet/config.json': '{"a": 1}',
    'text_encoder/model.safetensors': 'weights of the text encoder',
    'unet/diffusion_pytorch_model.safetensors': 'weights of the unet',
}


def etag(name):
    data = FILES[name].encode()
    if name.endswith('.safetensors'):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b'blob %d\0' % len(data) + data).hexdigest()


class Hub(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body=True):
        path = self.path.split('?')[0]
        name = path.split(f'/resolve/{COMMIT}/')[-1]
        if path.startswith('/api/models/'):
            data = json.dumps({'id': 'owner/name', 'sha': COMMIT, 'siblings': [{'rfilename': f} for f in FILES]}).encode()
            headers = {'Content-Type': 'application/json'}
        else:
            data = FILES[name].encode()
            headers = {'ETag': f'"{etag(name)}"', 'X-Repo-Commit': COMMIT}
        self.send_response(200)
        for key, value in {**headers, 'Content-Length': str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(data)


def python(code, environment):
    plain = {'PATH': os.environ['PATH'], 'HOME': '/home/someone', 'HF_HUB_DISABLE_XET': '1', **environment}
    return json.loads(subprocess.run([sys.executable, '-c', code], env=plain, check=True, capture_output=True).stdout)


server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
with tempfile.TemporaryDirectory() as cache:
    version = python(
        'import json, sys, huggingface_hub as h\n'
        f'for revision in ["main", "v1.0", "refs/pr/1", "{COMMIT}"]: h.snapshot_download("owner/name", revision=revision, cache_dir="{cache}")\n'
        'print(json.dumps(h.__version__))',
        {'HF_ENDPOINT': f'http://127.0.0.1:{server.server_port}', 'HF_HUB_DISABLE_PROGRESS_BARS': '1', 'HF_HOME': cache})
    tree = {}
    for path in sorted(pathlib.Path(cache, 'models--owner--name').rglob('*')):
        name = str(path.relative_to(cache))
        if path.is_symlink():
            tree[name] = {'link': os.readlink(path)}
        elif path.is_file():
            tree[name] = {'text': path.read_text()}

ENVIRONMENTS = [
    {}, {'XDG_CACHE_HOME': '/x'}, {'HF_HOME': '/h'}, {'HF_HOME': '~/h'}, {'HF_HOME': '$WHERE/h', 'WHERE': '/disk'},
    {'XDG_CACHE_HOME': '/x', 'HF_HOME': '/h'}, {'HF_HOME': '/h', 'HUGGINGFACE_HUB_CACHE': '/old'},
    {'HUGGINGFACE_HUB_CACHE': '/old', 'HF_HUB_CACHE': '~/new'}, {'HF_HUB_CACHE': '${WHERE}/hub', 'WHERE': '/disk'},
    {'HF_TOKEN': 'hf_new', 'HUGGING_FACE_HUB_TOKEN': 'hf_old'}, {'HUGGING_FACE_HUB_TOKEN': ' hf_old\n'},
    {'HF_TOKEN': '', 'HUGGING_FACE_HUB_TOKEN': 'hf_old'}, {'HF_TOKEN': ' ', 'HUGGING_FACE_HUB_TOKEN': 'hf_old'},
    {'HF_TOKEN': 'hf_new', 'HF_HUB_DISABLE_IMPLICIT_TOKEN': '1'},
    {'HF_TOKEN': 'hf_new', 'HF_HUB_DISABLE_IMPLICIT_TOKEN': 'No'},
    *({'HF_HUB_OFFLINE': word} for word in ['1', 'true', 'On', 'YES', '0', '2', 'off', 'y']),
    {'TRANSFORMERS_OFFLINE': '1'}, {'HF_HUB_OFFLINE': '0', 'TRANSFORMERS_OFFLINE': '1'},
    {'HF_HUB_OFFLINE': '', 'TRANSFORMERS_OFFLINE': '1'},
    {'HF_ENDPOINT': 'https://mirror.example/hub/'}, {'HF_HUB_ETAG_TIMEOUT': '3', 'HF_HUB_DOWNLOAD_TIMEOUT': '40'},
]
SAID = '''
import json
from huggingface_hub import constants as c
from huggingface_hub.utils import build_hf_headers
print(json.dumps({
    'endpoint': c.ENDPOINT, 'cacheDir': c.HF_HUB_CACHE, 'offline': c.HF_HUB_OFFLINE,
    'answerMs': 1000 * c.HF_HUB_ETAG_TIMEOUT, 'silenceMs': 1000 * c.HF_HUB_DOWNLOAD_TIMEOUT,
    'token': build_hf_headers().get('authorization'),
}))
'''
environments = [{'environment': e, 'said': python(SAID, e)} for e in ENVIRONMENTS]
out.mkdir(parents=True, exist_ok=True)
made = {'huggingface_hub': version, 'commit': COMMIT, 'files': FILES, 'tree': tree, 'environments': environments}
(out / 'layout.json').write_text(json.dumps(made, indent=1) + '\n')
