"""Picture files as people bring them, for test/io and test/node: what Pillow reads in each.

Usage: python scripts/golden/pictures.py   (pillow, numpy; seeds are fixed)
Writes test/golden/pictures: small files, and index.json with the size and hash of the RGB bytes that Pillow reads, or its
error. The folder cases in it is given, and only read.
"""
import hashlib, io, json, pathlib, struct, warnings, zlib
import numpy as np
import PIL
from PIL import Image, ImageOps

out = pathlib.Path(__file__).resolve().parents[2] / 'test/golden/pictures'
for old in out.iterdir():
    if old.is_file():
        old.unlink()
warnings.simplefilter('ignore')
rng = np.random.default_rng(11)
index = {'pillow': PIL.__version__, 'seed': 11, 'files': []}


def picture(w, h):
    """Waves, hard edges and a little noise."""
    y, x = np.mgrid[0:h, 0:w]
    a = np.stack([127 + 90 * np.sin(x / (3 + k)) * np.cos(y / (4 + k)) for k in range(3)], -1)
    a[h // 3:h // 2, w // 4:w // 2] = 255
    a[h // 2:, :w // 5] = 0
    return Image.fromarray(np.clip(a + rng.normal(0, 8, a.shape), 0, 255).astype(np.uint8))


def read(name):
    entry = {'file': name}
    try:
        a = np.asarray(ImageOps.exif_transpose(Image.open(out / name)).convert('RGB'))
        if a.size < 1 << 20:
            entry |= {'width': a.shape[1], 'height': a.shape[0], 'sha256': hashlib.sha256(a.tobytes()).hexdigest()}
    except Exception as e:
        entry['error'] = type(e).__name__
    index['files'].append(entry)


def put(name, data):
    (out / name).write_bytes(data)
    read(name)


def encoded(image, kind, **options):
    b = io.BytesIO()
    image.save(b, kind, **options)
    return b.getvalue()


for path in sorted((out / 'cases').iterdir()):
    read(f'cases/{path.name}')

# JPEG: every way of subsampling in every colour model, sequential and progressive, with restarts, at awkward sizes.
adobe = b'\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0'
sizes = [(1, 1), (3, 5), (17, 17), (33, 18), (45, 31)]
for n, (mode, sub) in enumerate([(m, s) for m in ['RGB', 'rgb', 'CMYK'] for s in ['4:4:4', '4:2:2', '4:2:0', '4:4:0']] + [('L', '4:4:4')]):
    for progressive in [False, True]:
        w, h = sizes[(n + progressive) % 5] if n % 3 == 0 else sizes[2 + (n + progressive) % 3]
        options = {'quality': 60 + n, 'progressive': progressive, 'subsampling': sub if sub != '4:4:0' else '4:2:2'}
        if n % 2:
            options['restart_marker_blocks'] = 2 + n % 3
        image = picture(w, h).convert(mode.upper())
        data = bytearray(encoded(image, 'JPEG', **options))
        if sub == '4:4:0':  # the same units, on their side
            at = data.index(b'\xff\xc2' if progressive else b'\xff\xc0')
            data[at + 11] = 0x12
        if mode == 'rgb':  # encoders do not subsample it; the components of another picture do as well
            data[2:20] = adobe + b'\0'
        name = f'{mode}-{sub.replace(":", "")}-{"progressive" if progressive else "sequential"}'.lower()
        put(f'{"adobe-" if mode == "rgb" else ""}{name}.jpg', bytes(data))
plain = encoded(picture(45, 31), 'JPEG', quality=85)
for transform in [0, 1, 2]:
    put(f'adobe-transform-{transform}.jpg', plain[:2] + adobe + bytes([transform]) + plain[20:])
inks = encoded(picture(45, 31).convert('CMYK'), 'JPEG', quality=90, subsampling=2)
at = inks.index(b'Adobe') + 11
for transform in [1, 2]:
    put(f'ycck-transform-{transform}.jpg', inks[:at] + bytes([transform]) + inks[at + 1:])
segment = inks.index(b'\xff\xee')
put('cmyk-without-adobe.jpg', inks[:segment] + inks[segment + 16:])

first, rest = plain.index(b'\xff\xc4'), plain.index(b'\xff\xda')
put('standard-tables.jpg', plain[:first] + plain[rest:])
put('of-two.jpg', encoded(picture(45, 31), 'MPO', save_all=True, append_images=[picture(45, 31)]))

# JPEG with damage that libjpeg lives with.
put('damaged-early-end.jpg', plain[:len(plain) * 9 // 10] + b'\xff\xd9')
waves = encoded(picture(45, 31), 'JPEG', quality=85, progressive=True)
later = waves.index(b'\xff\xc4', waves.index(b'\xff\xda'))
put('damaged-scans-missing.jpg', waves[:later] + b'\xff\xd9')
put('damaged-junk-behind.jpg', plain + b'junk' * 9)
restarts = encoded(picture(45, 31), 'JPEG', quality=85, subsampling=0, restart_marker_blocks=3)
at = restarts.index(b'\xff\xd1')
put('damaged-restart-missing.jpg', restarts[:at] + restarts[at + 2:])
put('damaged-restart-later.jpg', restarts[:at + 1] + b'\xd6' + restarts[at + 2:])
put('damaged-restart-earlier.jpg', restarts[:at + 1] + b'\xd0' + restarts[at + 2:])
put('damaged-interval-missing.jpg', restarts[:at] + restarts[restarts.index(b'\xff\xd2'):])
put('damaged-bytes-before-restart.jpg', restarts[:at] + b'\x12\x34\x56' + restarts[at:])
put('damaged-fill-bytes.jpg', restarts[:at] + b'\xff\xff\xff' + restarts[at:])
scan = plain.index(b'\xff\xda') + 14
flips = np.random.default_rng(5)
for n in range(6):
    flipped = bytearray(plain)
    flipped[int(flips.integers(scan, len(plain) - 2))] ^= 1 << int(flips.integers(8))
    put(f'damaged-bit-{n}.jpg', bytes(flipped))


def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def png(*chunks):
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunks)


# PNG with every pixel there, and something else not as it should be.
w, h = 11, 7
rows = b''.join(b'\0' + rng.integers(0, 256, 3 * w, dtype=np.uint8).tobytes() for _ in range(h))
stream = zlib.compress(rows)
head = chunk(b'IHDR', struct.pack('>IIBBBBB', w, h, 8, 2, 0, 0, 0))
data, end = chunk(b'IDAT', stream), chunk(b'IEND', b'')
put('png-cut-behind-pixels.png', png(head, data)[:-4])
put('png-cut-in-checksum-of-stream.png', png(head, data)[:-7])
put('png-without-checksum-of-stream.png', png(head, chunk(b'IDAT', stream[:-4]), end))
put('png-more-rows.png', png(head, chunk(b'IDAT', zlib.compress(rows + rows)), end))
put('png-bytes-behind-stream.png', png(head, chunk(b'IDAT', stream + bytes(range(40))), end))
put('png-unknown-chunk.png', png(head, chunk(b'ABCD', b'x'), data, end))
put('png-text-first.png', png(chunk(b'tEXt', b'a\0b'), head, data, end))
put('png-long-header.png', png(chunk(b'IHDR', head[8:21] + b'x'), data, end))
put('png-wrong-checksum-behind.png', png(head, data, chunk(b'tEXt', b'a\0b')[:-1] + b'\0', end))
indices = zlib.compress(b''.join(b'\0' + bytes([0, 1, 2, 3, 255]) for _ in range(3)))
few = chunk(b'IHDR', struct.pack('>IIBBBBB', 5, 3, 8, 3, 0, 0, 0))
for size in [6, 7]:
    put(f'png-palette-of-{size}-bytes.png', png(few, chunk(b'PLTE', bytes(range(10, 10 + size))), chunk(b'IDAT', indices), end))

# BMP.
small = picture(13, 9)
for mode in ['RGB', 'L', 'P', '1', 'RGBA']:
    put(f'{mode.lower()}.bmp', encoded(small.quantize(100) if mode == 'P' else small.convert(mode), 'BMP'))


def bmp(w, h, bits, storage, pixels, palette=b'', masks=b'', size=40, used=0):
    start = 14 + size + len(masks) + len(palette)
    body = struct.pack('<IiiHHIIiiII', size, w, h, 1, bits, storage, len(pixels), 0, 0, used, 0) + masks + palette + pixels
    return b'BM' + struct.pack('<IHHI', 14 + len(body), 0, 0, start) + body


def noise(n):
    return rng.integers(0, 256, n, dtype=np.uint8).tobytes()


colours = b''.join(bytes([3 * i % 256, 5 * i % 256, 7 * i % 256, 0]) for i in range(256))
put('4-bits.bmp', bmp(9, 4, 4, 0, noise(8 * 4), colours[:64]))
put('short-palette.bmp', bmp(9, 4, 4, 0, noise(8 * 4), colours[:12], used=3))
put('without-last-filling.bmp', bmp(9, 4, 4, 0, noise(8 * 4 - 3), colours[:64]))
put('from-the-top.bmp', bmp(5, -4, 24, 0, noise(16 * 4)))
put('16-bits.bmp', bmp(5, 4, 16, 0, noise(12 * 4)))
put('565.bmp', bmp(5, 4, 16, 3, noise(12 * 4), masks=struct.pack('<III', 0xf800, 0x7e0, 0x1f)))
put('fields-of-32-bits.bmp', bmp(5, 4, 32, 3, noise(20 * 4), masks=struct.pack('<III', 0xff0000, 0xff00, 0xff)))
put('runs.bmp', bmp(8, 4, 8, 1, bytes([5, 7, 3, 9, 0, 0, 0, 5, 1, 2, 3, 4, 5, 0, 2, 6, 0, 0, 0, 2, 3, 0, 5, 8, 0, 0, 8, 200, 0, 1]), colours))
put('runs-of-4-bits.bmp', bmp(8, 3, 4, 2, bytes([5, 0x7a, 3, 0x99, 0, 0, 0, 6, 0x12, 0x34, 0x56, 0, 2, 0x6b, 0, 0, 8, 0xef, 0, 1]), colours[:64]))
oldest = struct.pack('<IHHHH', 12, 5, 3, 1, 8) + b''.join(bytes([i, i // 2, 255 - i]) for i in range(256)) + noise(8 * 3)
put('oldest.bmp', b'BM' + struct.pack('<IHHI', 14 + len(oldest), 0, 0, 14 + 12 + 768) + oldest)

# Kinds that other decoders read: the first picture, upright.
rgba = Image.fromarray(np.concatenate([np.asarray(small), rng.integers(0, 256, (9, 13, 1), dtype=np.uint8)], -1))
turned = Image.Exif()
turned[0x0112] = 6
put('lossy.webp', encoded(small, 'WEBP', quality=90))
put('lossless.webp', encoded(small, 'WEBP', lossless=True))
put('alpha.webp', encoded(rgba, 'WEBP', lossless=True, exact=True))
put('turned.webp', encoded(small, 'WEBP', lossless=True, exif=turned))
put('moving.webp', encoded(small, 'WEBP', lossless=True, save_all=True, append_images=[small.rotate(180)]))
put('whole-colour.avif', encoded(small, 'AVIF', quality=95, subsampling='4:4:4'))
Image.open(out / 'whole-colour.avif').convert('RGB').save(out / 'whole-colour.avif.png')
put('few-colours.gif', encoded(small.quantize(60), 'GIF'))
put('interlaced.gif', encoded(small.quantize(60), 'GIF', interlace=1))
put('transparent.gif', encoded(small.quantize(60), 'GIF', transparency=3))
for name, options in [('placed.gif', {}), ('placed-transparent.gif', {'transparency': 5})]:
    placed = bytearray(encoded(small.quantize(60), 'GIF', **options))
    placed[6:10] = struct.pack('<HH', 17, 12)  # a larger screen
    at = placed.index(b',\0\0\0\0\x0d\0\x09\0')
    placed[at + 1:at + 5] = struct.pack('<HH', 3, 2)
    put(name, bytes(placed))
plain_gif = encoded(small.quantize(60), 'GIF')
at = plain_gif.index(b',\0\0\0\0\x0d\0\x09\0')
put('bytes-between-blocks.gif', plain_gif[:at] + b'\0\x11\x22' + plain_gif[at:])
put('without-end.gif', plain_gif[:-1])
put('moving.gif', encoded(small.quantize(60), 'GIF', save_all=True, append_images=[small.rotate(90).quantize(60)]))
(out / 'index.json').write_text(json.dumps(index, indent=1) + '\n')
