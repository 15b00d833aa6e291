/**
 * The samples of a JPEG, component by component, before upsampling and colour. Tables, scans, restarts and damage as libjpeg
 * takes them: where data are missing the samples are grey. Memory is taken row of blocks by row of blocks, as they come.
 * @see ITU-T T.81; libjpeg, jdmarker.c, jdinput.c, jdcoefct.c
 */
import type { InputError } from '../core/errors.ts';
import { type BlockDecoder, blockDecoder, type ScanLimits, ZIGZAG } from './jpeg-blocks.ts';
import { EntropyReader, HuffmanTable } from './jpeg-huffman.ts';
import { inverseTransform } from './jpeg-idct.ts';
import {
  blocksOf,
  isFrame,
  type JpegComponent,
  type JpegFrame,
  MARKER,
  nextMarker,
  nextSegment,
} from './jpeg-markers.ts';
import { standardTables } from './jpeg-standard-tables.ts';
import { brokenImage } from './picture-file.ts';

/** Samples without a value: 128, the middle. */
const GREY = 128;
/** Times that scans may go over a picture. The standard's own way of storing needs at most 64 * 14, programs use ten. */
const MOST_PASSES = 200;
/** Largest number of blocks in one unit. @see ITU-T T.81, B.2.3 */
const MOST_IN_UNIT = 10;

/** The samples of one component. */
export class Plane {
  /** Samples of a row, without what fills up blocks. */
  readonly width: number;
  /** Rows. */
  readonly height: number;
  /** Pixels of the picture that one sample stands for, from left to right. */
  readonly stepX: number;
  /** The same from top to bottom. */
  readonly stepY: number;
  readonly id: number;
  readonly h: number;
  readonly v: number;
  /** Blocks in a row and in a column that have samples of the picture. */
  readonly wide: number;
  readonly high: number;
  /** Blocks that have come. */
  came = 0;
  /** Bits that each coefficient still lacks; -1 where none has come. */
  readonly lacking: Int8Array = new Int8Array(64).fill(-1);
  readonly #table: number;
  readonly #pitch: number;
  readonly #coefficients: (Int16Array | undefined)[] = [];
  readonly #samples: (Uint8Array | undefined)[] = [];
  readonly #block: Int16Array = new Int16Array(64);
  #quantisers: Uint16Array | undefined;
  #grey: Uint8Array | undefined;

  constructor(component: JpegComponent, frame: JpegFrame, size: { readonly wide: number; readonly high: number }) {
    const [most, tall] = largestFactors(frame);
    this.id = component.id;
    this.h = component.h;
    this.v = component.v;
    this.stepX = most / component.h;
    this.stepY = tall / component.v;
    this.width = Math.ceil(frame.width / this.stepX);
    this.height = Math.ceil(frame.height / this.stepY);
    this.wide = size.wide;
    this.high = size.high;
    this.#table = component.quantisers;
    this.#pitch = 8 * component.h * Math.ceil(frame.width / (8 * most));
  }

  /** One row of samples. */
  line(y: number): Uint8Array {
    const stripe = this.#samples[y >> 3];
    if (stripe) return stripe.subarray((y & 7) * this.#pitch, (y & 7) * this.#pitch + this.width);
    this.#grey ??= new Uint8Array(this.width).fill(GREY);
    return this.#grey;
  }

  /** Quantisers are those of the first scan: later tables are for other components. False where there are none. */
  begin(tables: readonly (Uint16Array | undefined)[]): boolean {
    this.#quantisers ??= tables[this.#table];
    return this.#quantisers !== undefined;
  }

  /** Decodes a block; its samples are there at once where all its coefficients come together. */
  decode(row: number, column: number, decoder: BlockDecoder, state: ComponentScan, progressive: boolean): void {
    if (progressive) {
      this.#coefficients[row] ??= new Int16Array(this.#pitch * 8);
      decoder(this.#coefficients[row], 64 * column, state);
      return;
    }
    this.#block.fill(0);
    decoder(this.#block, 0, state);
    this.#transform(this.#block, 0, row, column);
  }

  /** Turns the coefficients of all scans into samples. */
  finish(): void {
    for (const [row, coefficients] of this.#coefficients.entries()) {
      if (!coefficients) continue;
      for (let column = 0; column < this.wide; column++) this.#transform(coefficients, 64 * column, row, column);
      this.#coefficients[row] = undefined;
    }
  }

  #transform(coefficients: Int16Array, at: number, row: number, column: number): void {
    const stripe = this.#samples[row] ?? new Uint8Array(this.#pitch * 8).fill(GREY);
    this.#samples[row] = stripe;
    if (this.#quantisers) inverseTransform(coefficients, at, this.#quantisers, stripe, 8 * column, this.#pitch);
  }
}

/** A component in a scan. */
interface ComponentScan {
  readonly plane: Plane;
  previous: number;
  readonly constant: HuffmanTable | undefined;
  readonly waves: HuffmanTable | undefined;
}

function largestFactors({ components }: JpegFrame): [number, number] {
  return [Math.max(...components.map(c => c.h)), Math.max(...components.map(c => c.v))];
}

/** What {@link decodeJpegPlanes} found. */
export interface JpegPlanes {
  readonly planes: readonly Plane[];
  /** What is not as it was saved, in words; undefined where all is well. */
  readonly damage: string | undefined;
}

/**
 * Decodes all scans.
 * @param bytes the file
 * @param frame as readJpegInfo gives it
 * @param path name for messages
 * @throws InputError where the file ends too early, tables are missing or impossible, or more than half of the samples are
 * not there
 */
export function decodeJpegPlanes(bytes: Uint8Array, frame: JpegFrame, path?: string): JpegPlanes {
  return new Decoder(bytes, frame, path).decode();
}

class Decoder {
  readonly #path: string | undefined;
  readonly #bytes: Uint8Array;
  readonly #frame: JpegFrame;
  readonly #planes: readonly Plane[];
  readonly #blocks: number;
  readonly #quantisers: (Uint16Array | undefined)[] = [];
  readonly #constants: (HuffmanTable | undefined)[] = [];
  readonly #waves: (HuffmanTable | undefined)[] = [];
  #interval = 0;
  #visited = 0;
  #broken = false;

  constructor(bytes: Uint8Array, frame: JpegFrame, path: string | undefined) {
    this.#path = path;
    this.#bytes = bytes;
    this.#frame = frame;
    const sizes = blocksOf(frame);
    this.#planes = frame.components.map((c, i) => new Plane(c, frame, sizes[i] ?? { wide: 0, high: 0 }));
    this.#blocks = sizes.reduce((sum, { wide, high }) => sum + wide * high, 0);
  }

  decode(): JpegPlanes {
    let frames = 0;
    for (let at = 2; !this.#complete(); ) {
      const segment = nextSegment(this.#bytes, at, this.#path);
      if (!segment && this.#frame.progressive) throw this.#damage('the pixels are cut short');
      if (!segment || segment.marker === MARKER.EOI) break;
      const { marker, data } = segment;
      at = segment.end;
      if (marker === MARKER.DQT) this.#readQuantisers(data);
      else if (marker === MARKER.DHT) this.#readCodes(data);
      else if (marker === MARKER.DRI) this.#interval = (data[0] ?? 0) * 256 + (data[1] ?? 0);
      else if (marker === MARKER.SOS) at = this.#readScan(data, at);
      else if (isFrame(marker) && ++frames > 1) throw this.#damage('a second frame header');
    }
    const came = this.#planes.reduce((sum, plane) => sum + Math.min(plane.came, plane.wide * plane.high), 0);
    if (2 * came < this.#blocks) throw this.#damage('the pixels are cut short');
    for (const plane of this.#planes) {
      plane.finish();
      if (plane.lacking.some(bits => bits !== 0)) this.#broken = true;
    }
    return { planes: this.#planes, damage: this.#broken ? 'some of its pixels are not what was saved' : undefined };
  }

  #damage(what: string): InputError {
    return brokenImage('JPEG', what, this.#path);
  }

  /** Whether nothing that may follow changes the picture. */
  #complete(): boolean {
    return !this.#frame.progressive && this.#planes.every(plane => plane.came >= plane.wide * plane.high);
  }

  #readQuantisers(data: Uint8Array): void {
    for (let at = 0; at < data.length; ) {
      const [wide, number] = [(data[at] ?? 0) >> 4, (data[at] ?? 0) & 15];
      const size = wide ? 2 : 1;
      if (at + 1 + 64 * size > data.length || number > 3) throw this.#damage('a damaged table of quantisers');
      const table = new Uint16Array(64);
      for (let k = 0; k < 64; k++) {
        const value = data[at + 1 + k * size] ?? 0;
        table[ZIGZAG[k] ?? 0] = wide ? value * 256 + (data[at + 2 + 2 * k] ?? 0) : value;
      }
      this.#quantisers[number] = table;
      at += 1 + 64 * size;
    }
  }

  #readCodes(data: Uint8Array): void {
    for (let at = 0; at + 17 <= data.length; ) {
      const [kind, number] = [(data[at] ?? 0) >> 4, (data[at] ?? 0) & 15];
      const counts = data.subarray(at + 1, at + 17);
      const count = counts.reduce((sum, n) => sum + n, 0);
      const symbols = data.slice(at + 17, at + 17 + count);
      const table = HuffmanTable.from(counts, symbols);
      const wrong = kind === 0 && symbols.some(symbol => symbol > 15);
      if (!table || wrong || kind > 1 || number > 3) throw this.#damage('a damaged Huffman table');
      (kind === 0 ? this.#constants : this.#waves)[number] = table;
      at += 17 + count;
    }
  }

  /** @returns where what follows the scan begins */
  #readScan(data: Uint8Array, at: number): number {
    const count = data[0] ?? 0;
    if (data.length < 4 + 2 * count || count < 1 || count > 4) throw this.#damage('a damaged scan header');
    const [first = 0, last = 0, bits = 0] = data.subarray(1 + 2 * count);
    const scan = { first, last, refines: bits >> 4 > 0, shift: bits & 15 };
    const { progressive } = this.#frame;
    const order = first === 0 ? last === 0 : first <= last && last < 64 && count === 1;
    const steps = scan.shift <= 13 && (bits >> 4 === 0 || bits >> 4 === scan.shift + 1);
    if (progressive && !(order && steps)) throw this.#damage('a damaged scan header');
    const parts = Array.from({ length: count }, (_, i) => this.#take(data[1 + 2 * i], data[2 + 2 * i] ?? 0));
    for (const { constant, waves, plane } of parts) {
      const needs = progressive ? (first > 0 ? waves : scan.refines || constant) : constant && waves;
      if (!needs) throw this.#damage('no Huffman table');
      if (!plane.begin(this.#quantisers)) throw this.#damage('no table of quantisers');
      plane.lacking.fill(progressive ? scan.shift : 0, progressive ? first : 0, (progressive ? last : 63) + 1);
    }
    if (new Set(parts.map(part => part.plane)).size < count) throw this.#damage('a damaged scan header');
    return this.#decodeScan(parts, scan, at);
  }

  #take(id: number | undefined, tables: number): ComponentScan {
    const plane = this.#planes.find(p => p.id === id);
    if (!plane) throw this.#damage('a scan of a component that is not there');
    const standard = this.#frame.progressive ? { constants: [], waves: [] } : standardTables();
    const constant = this.#constants[tables >> 4] ?? standard.constants[tables >> 4];
    return { plane, previous: 0, constant, waves: this.#waves[tables & 15] ?? standard.waves[tables & 15] };
  }

  #decodeScan(parts: readonly ComponentScan[], scan: ScanLimits, at: number): number {
    const reader = new EntropyReader(this.#bytes, at);
    const { progressive, width, height } = this.#frame;
    const { decode, restart } = blockDecoder(reader, progressive, scan);
    const [most, tall] = largestFactors(this.#frame);
    const [only, more] = parts;
    const single = only && !more ? only.plane : undefined;
    const wide = single?.wide ?? Math.ceil(width / (8 * most));
    const high = single?.high ?? Math.ceil(height / (8 * tall));
    const inUnit = single ? 1 : parts.reduce((sum, { plane }) => sum + plane.h * plane.v, 0);
    this.#visited += wide * high * inUnit;
    if (inUnit > MOST_IN_UNIT || this.#visited > MOST_PASSES * (this.#blocks + MOST_IN_UNIT))
      throw this.#damage(inUnit > MOST_IN_UNIT ? 'a damaged scan header' : 'too many scans');
    for (let unit = 0; unit < wide * high; unit++) {
      if (this.#interval > 0 && unit > 0 && unit % this.#interval === 0) {
        this.#findRestart(reader, unit / this.#interval - 1);
        restart();
        for (const part of parts) part.previous = 0;
      }
      if (reader.missing && this.#interval === 0) break;
      if (reader.missing) continue;
      const [x, y] = [unit % wide, Math.floor(unit / wide)];
      for (const part of parts) {
        const { plane } = part;
        const [h, v] = single ? [1, 1] : [plane.h, plane.v];
        for (let i = 0; i < h * v; i++)
          plane.decode(y * v + Math.floor(i / h), x * h + (i % h), decode, part, progressive);
        if (!reader.missing && (scan.first === 0 || !progressive) && !scan.refines) plane.came += h * v;
      }
    }
    this.#note(reader);
    return reader.at;
  }

  #note(reader: EntropyReader): void {
    // A marker in the middle of the data is damage that libjpeg lives with; a file that ends there is half a file.
    if (reader.missing && reader.ended) throw this.#damage('the pixels are cut short');
    if (reader.missing || reader.wrongCodes > 0) this.#broken = true;
  }

  /**
   * Goes on behind the restart marker that is due, or leaves a later one where it is: what lies between stays grey.
   * @param number of restarts before this one
   * @see libjpeg, jdmarker.c jpeg_resync_to_restart
   */
  #findRestart(reader: EntropyReader, number: number): void {
    for (let from = reader.at; ; ) {
      const found = nextMarker(this.#bytes, from);
      if (!found) {
        reader.missing = true;
        reader.ended = true;
        return;
      }
      const ahead = (found.marker - MARKER.RST0 - number) & 7;
      const isRestart = found.marker >= MARKER.RST0 && found.marker < MARKER.SOI;
      if (isRestart && [0, 3, 4, 5].includes(ahead)) {
        reader.restart(found.end);
        return;
      }
      if (found.marker >= 0xc0 && !(isRestart && ahead > 5)) {
        const { missing } = reader;
        reader.restart(found.end - 2);
        reader.missing = missing;
        this.#broken = true;
        return;
      }
      from = found.end;
    }
  }
}
