"""Pictures for the tests under test/io and test/node, made and read by Pillow.

Usage: python scripts/golden/pillow.py   (pillow, numpy, torch; seeds are fixed)
Writes test/golden/pillow: index.json, small PNG and JPEG files, and for each of them the RGB bytes that Pillow reads.
"""
import hashlib, io, json, pathlib, struct, zlib
import numpy as np
import PIL
from PIL import Image, ImageDraw, ImageFilter, ImageOps
import torch

out = pathlib.Path(__file__).resolve().parents[2] / 'test/golden/pillow'
out.mkdir(parents=True, exist_ok=True)
for old in out.iterdir():
    old.unlink()
rng = np.random.default_rng(7)
index = {'pillow': PIL.__version__, 'seed': 7, 'resize': [], 'png': [], 'jpeg': []}


def picture(w, h, c=3):
    """Smooth waves, hard edges and noise: something of everything that a filter can get wrong."""
    y, x = np.mgrid[0:h, 0:w]
    planes = [127 + 90 * np.sin(x / (3 + k)) * np.cos(y / (4 + k)) for k in range(c)]
    a = np.stack(planes, -1)
    a[h // 3: h // 2, w // 4: w // 2] = 255
    a[h // 2:, : w // 5] = 0
    a = a + rng.normal(0, 20, a.shape)
    return np.clip(a, 0, 255).astype(np.uint8)


def sha(image):
    return hashlib.sha256(np.asarray(image).tobytes()).hexdigest()


FILTERS = {'box': Image.BOX, 'bilinear': Image.BILINEAR, 'bicubic': Image.BICUBIC, 'lanczos': Image.LANCZOS}
base = Image.fromarray(picture(61, 43))
base.save(out / 'base.png')
base.convert('L').save(out / 'base-grey.png')
index['luma'] = sha(base.convert('L'))
for size in [(61, 43), (32, 32), (128, 96), (61, 20), (17, 43), (1, 1), (7, 131), (384, 384), (60, 42)]:
    for name, f in FILTERS.items():
        for mode in ['RGB', 'L']:
            done = base.convert(mode).resize(size, f)
            index['resize'].append({'size': size, 'filter': name, 'mode': mode, 'sha256': sha(done)})
noise = Image.fromarray(rng.integers(0, 2, (40, 50, 3), dtype=np.uint8) * 255)  # over- and undershoot everywhere
noise.save(out / 'noise.png')
for size in [(50, 21), (23, 40), (99, 81)]:
    for name, f in FILTERS.items():
        index['resize'].append({'source': 'noise.png', 'size': size, 'filter': name, 'mode': 'RGB',
                                'sha256': sha(noise.resize(size, f))})


def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def raw_png(name, w, h, depth, color, rows, extra=b'', note=''):
    data = b''.join(b'\0' + r for r in rows)
    head = struct.pack('>IIBBBBB', w, h, depth, color, 0, 0, 0)
    (out / name).write_bytes(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + extra + chunk(b'IDAT', zlib.compress(data)) + chunk(b'IEND', b''))


def add(kind, name, expected=None, tolerance=0):
    image = ImageOps.exif_transpose(Image.open(out / name))
    rgb = np.asarray(image.convert('RGB')) if expected is None else expected
    entry = {'file': name, 'width': rgb.shape[1], 'height': rgb.shape[0]}
    if kind == 'png':
        entry['sha256'] = sha(rgb)
    else:
        Image.fromarray(rgb).save(out / (name + '.png'))
        entry['tolerance'] = tolerance
    index[kind].append(entry)


small = picture(13, 9)
rgba = np.concatenate([small, rng.integers(0, 256, (9, 13, 1), dtype=np.uint8)], -1)
rgba[0, :, 3] = 0
Image.fromarray(small).save(out / 'rgb.png'); add('png', 'rgb.png')
Image.fromarray(rgba).save(out / 'rgba.png'); add('png', 'rgba.png')
Image.fromarray(small[..., 0]).save(out / 'grey.png'); add('png', 'grey.png')
Image.fromarray(rgba[..., 2:]).save(out / 'grey-alpha.png'); add('png', 'grey-alpha.png')
Image.fromarray(small).quantize(16).save(out / 'palette.png'); add('png', 'palette.png')
Image.fromarray(small).quantize(200).save(out / 'palette-transparent.png', transparency=bytes(range(100)))
add('png', 'palette-transparent.png')
Image.fromarray(small).quantize(3).save(out / 'palette-2bit.png', bits=2); add('png', 'palette-2bit.png')
Image.fromarray(small[..., 0]).convert('1').save(out / 'bilevel.png'); add('png', 'bilevel.png')
key = tuple(int(v) for v in small[2, 3])
Image.fromarray(small).save(out / 'rgb-key.png', transparency=key); add('png', 'rgb-key.png')
Image.fromarray(small[..., 0]).save(out / 'grey-key.png', transparency=int(small[2, 3, 0])); add('png', 'grey-key.png')
exif = Image.Exif(); exif[0x0112] = 6
Image.fromarray(small).save(out / 'rotated.png', exif=exif); add('png', 'rotated.png')
for bits in [2, 4]:
    v = rng.integers(0, 1 << bits, (5, 8), dtype=np.uint8)
    rows = [bytes(sum(int(p) << (8 - bits * (i + 1)) for i, p in enumerate(r[k:k + 8 // bits])) for k in range(0, 8, 8 // bits)) for r in v]
    raw_png(f'grey-{bits}bit.png', 8, 5, bits, 0, rows); add('png', f'grey-{bits}bit.png')
wide = rng.integers(0, 65536, (5, 4, 4), dtype=np.uint16)
for color, channels, name in [(2, 3, 'rgb-16bit.png'), (6, 4, 'rgba-16bit.png'), (4, 2, 'grey-alpha-16bit.png')]:
    raw_png(name, 4, 5, 16, color, [r[:, :channels].astype('>u2').tobytes() for r in wide]); add('png', name)
raw_png('grey-16bit.png', 4, 5, 16, 0, [r[:, 0].astype('>u2').tobytes() for r in wide])
# Pillow clips 16-bit grey at 255, which turns nearly every picture white; the high byte is what is meant.
add('png', 'grey-16bit.png', np.repeat((wide[..., :1] >> 8).astype(np.uint8), 3, -1))


def adam7(pixels):
    h, w, _ = pixels.shape
    data = b''
    for x0, y0, dx, dy in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
        part = pixels[y0::dy, x0::dx]
        if part.size:
            data += b''.join(b'\0' + r.tobytes() for r in part)
    head = struct.pack('>IIBBBBB', w, h, 8, 2, 0, 0, 1)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', head) + chunk(b'IDAT', zlib.compress(data)) + chunk(b'IEND', b'')


(out / 'interlaced.png').write_bytes(adam7(small)); add('png', 'interlaced.png')

photo = Image.fromarray(picture(40, 24)).filter(ImageFilter.GaussianBlur(1.5))
for o in range(1, 9):
    exif = Image.Exif(); exif[0x0112] = o
    photo.save(out / f'orientation-{o}.jpg', quality=95, subsampling=0, exif=exif)
    add('jpeg', f'orientation-{o}.jpg', tolerance=3)
photo.save(out / 'progressive.jpg', quality=90, subsampling=0, progressive=True); add('jpeg', 'progressive.jpg', tolerance=3)
photo.convert('L').save(out / 'grey.jpg', quality=90); add('jpeg', 'grey.jpg', tolerance=2)
photo.save(out / 'rgb.jpg', quality=95, keep_rgb=True); add('jpeg', 'rgb.jpg', tolerance=2)
photo.save(out / 'restart.jpg', quality=90, subsampling=0, restart_marker_blocks=3); add('jpeg', 'restart.jpg', tolerance=3)
photo.convert('L').save(out / 'grey-restart.jpg', quality=90, restart_marker_blocks=4); add('jpeg', 'grey-restart.jpg', tolerance=2)
photo.convert('CMYK').save(out / 'cmyk.jpg', quality=95); add('jpeg', 'cmyk.jpg', tolerance=3)
odd = Image.fromarray(picture(37, 27)).filter(ImageFilter.GaussianBlur(0.7))
for name, sub in [('422', 1), ('420', 2)]:
    odd.save(out / f'subsampled-{name}.jpg', quality=95, subsampling=sub); add('jpeg', f'subsampled-{name}.jpg', tolerance=4)
odd.save(out / 'subsampled-progressive.jpg', quality=85, progressive=True); add('jpeg', 'subsampled-progressive.jpg', tolerance=4)
plain = (out / 'subsampled-420.jpg').read_bytes()
adobe = b'\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0\x01'
(out / 'adobe.jpg').write_bytes(plain[:2] + adobe + plain[20:]); add('jpeg', 'adobe.jpg', tolerance=4)  # JFIF segment replaced

# Helpers around masks.
mask = Image.new('L', (31, 23)); ImageDraw.Draw(mask).ellipse((6, 4, 20, 17), fill=255)
mask.save(out / 'mask.png')
mask.filter(ImageFilter.MaxFilter(7)).save(out / 'mask-max7.png')
bell = np.exp(-0.5 * (np.arange(-8, 9) / 2.0) ** 2)
bell /= bell.sum()
padded = np.pad(np.asarray(mask).astype(np.float64), 8, mode='edge')
for axis in (0, 1):
    padded = np.apply_along_axis(np.convolve, axis, padded, bell, mode='valid')
blurred = padded
Image.fromarray(np.rint(blurred).astype(np.uint8)).save(out / 'mask-blur2.png')
a, b = Image.fromarray(picture(31, 23)), Image.fromarray(picture(31, 23))
soft = Image.open(out / 'mask-blur2.png')
a.save(out / 'paste-original.png'); b.save(out / 'paste-edited.png')
Image.composite(b, a, soft).save(out / 'paste-result.png')

index['nearest'] = [
    {'in': i, 'out': o, 'index': torch.nn.functional.interpolate(torch.arange(i).float().view(1, 1, i), size=o).view(-1).int().tolist()}
    for i, o in [(5, 4), (37, 36), (51, 50), (7, 14), (7, 21), (100, 96), (3, 10), (13, 13), (771, 768)]
]
(out / 'index.json').write_text(json.dumps(index, indent=1) + '\n')
