/** Seeded damage inside of picture files, as somebody makes it who wants to be read: lengths and checksums are right. */
import { crc32, deflateSync, inflateSync } from 'node:zlib';
import { type Chance, damage } from '../support/damage.ts';

/** Values at which programs go wrong. */
const EDGES = [0, 1, 2, 7, 8, 15, 16, 63, 64, 127, 128, 200, 254, 255];

function join(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

interface Chunk {
  type: string;
  data: Uint8Array;
}

/** Damage inside the chunks of a PNG, in its header, its stream or its rows; lengths and checksums are right again. */
export function damagedInside(png: Uint8Array, chance: Chance): Uint8Array {
  const chunks = chunksOf(png);
  const streams = chunks.filter(chunk => chunk.type === 'IDAT').map(chunk => chunk.data);
  const way = chance.below(4);
  if (way === 0) {
    const chunk = chance.of(chunks);
    chunk.data = damage(chunk.data, chance);
  } else if (way === 1) {
    const header = chunks[0].data;
    header[chance.below(header.length)] = chance.of(EDGES);
  } else {
    const whole = join(...streams);
    // Rows that are damaged and deflated anew, or the deflated stream itself.
    const rows = way === 2 ? damage(new Uint8Array(inflateSync(whole)), chance) : undefined;
    const stream = rows ? new Uint8Array(deflateSync(rows)) : damage(whole, chance);
    chunks.splice(
      chunks.findIndex(chunk => chunk.type === 'IDAT'),
      streams.length,
      { type: 'IDAT', data: stream },
    );
  }
  return join(png.subarray(0, 8), ...chunks.map(written));
}

function chunksOf(png: Uint8Array): Chunk[] {
  const view = new DataView(png.buffer, png.byteOffset, png.byteLength);
  const chunks: Chunk[] = [];
  for (let at = 8; at + 12 <= png.length; at += 12 + view.getUint32(at)) {
    const type = String.fromCharCode(...png.subarray(at + 4, at + 8));
    chunks.push({ type, data: png.slice(at + 8, at + 8 + view.getUint32(at)) });
  }
  return chunks;
}

function written({ type, data }: Chunk): Uint8Array {
  const out = Buffer.alloc(data.length + 12);
  out.writeUInt32BE(data.length, 0);
  out.write(type, 4, 'latin1');
  out.set(data, 8);
  out.writeUInt32BE(crc32(out.subarray(4, data.length + 8)), data.length + 8);
  return out;
}

/** Damage inside the segments or the scans of a JPEG; lengths are right, and no marker stands where none belongs. */
export function damagedSegments(jpeg: Uint8Array, chance: Chance): Uint8Array {
  const { segments, tail } = segmentsOf(jpeg);
  const way = chance.below(3);
  if (way < 2 && segments.length > 0) {
    const segment = chance.of(segments);
    const data = way === 0 ? damage(segment.data, chance) : segment.data.slice();
    if (way === 1 && data.length > 0) data[chance.below(data.length)] = chance.of(EDGES);
    segment.data = data.subarray(0, 65_000);
  }
  const scan = way === 2 ? stuffed(damage(tail, chance)) : tail;
  const heads = segments.map(({ marker, data }) =>
    join(Uint8Array.of(0xff, marker, (data.length + 2) >> 8, (data.length + 2) & 255), data),
  );
  return join(jpeg.subarray(0, 2), ...heads, scan);
}

/** The segments up to the first scan's header, and the rest. */
function segmentsOf(jpeg: Uint8Array): { segments: { marker: number; data: Uint8Array }[]; tail: Uint8Array } {
  const segments: { marker: number; data: Uint8Array }[] = [];
  let at = 2;
  for (let marker = 0; marker !== 0xda && at + 4 <= jpeg.length; ) {
    marker = jpeg[at + 1];
    const length = jpeg[at + 2] * 256 + jpeg[at + 3];
    segments.push({ marker, data: jpeg.slice(at + 4, at + 2 + length) });
    at += 2 + length;
  }
  return { segments, tail: jpeg.subarray(at) };
}

/** Bytes of a scan: after 255 a 0, unless a marker of restart or end stands there. */
function stuffed(bytes: Uint8Array): Uint8Array {
  const out = bytes.slice();
  for (let i = 0; i + 1 < out.length; i++) {
    const next = out[i + 1];
    if (out[i] === 0xff && !(next >= 0xd0 && next <= 0xd9)) out[i + 1] = 0;
  }
  return join(out, Uint8Array.of(0xff, 0xd9));
}
