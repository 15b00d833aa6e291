/**
 * Coefficients of one block from a scan's bits: the sequential way and the four of progressive JPEG. Blocks lie row by row,
 * no longer in zigzag order.
 * @see ITU-T T.81, F.2.2 and G.1.2; libjpeg, jdhuff.c and jdphuff.c
 */
import type { EntropyReader, HuffmanTable } from './jpeg-huffman.ts';

/** Place in the block of the n-th coefficient of the zigzag; what runs beyond the end lands on the last, as in libjpeg. */
export const ZIGZAG: Uint8Array = zigzag();

function zigzag(): Uint8Array {
  const places = new Uint8Array(64 + 16).fill(63);
  for (let n = 0, x = 0, y = 0; n < 64; n++) {
    places[n] = 8 * y + x;
    const up = (x + y) % 2 === 0;
    if (up) {
      if (x === 7) y++;
      else {
        x++;
        y = Math.max(0, y - 1);
      }
    } else if (y === 7) x++;
    else {
      y++;
      x = Math.max(0, x - 1);
    }
  }
  return places;
}

/** What a scan says of itself. */
export interface ScanLimits {
  /** First coefficient, 0 to 63. */
  readonly first: number;
  /** Last coefficient, 0 to 63. */
  readonly last: number;
  /** Whether bits are added to coefficients that are there. */
  readonly refines: boolean;
  /** Bits that a later scan adds below. */
  readonly shift: number;
}

/** What a scan remembers of a component: the last constant term and its tables. */
export interface ScanState {
  previous: number;
  readonly constant: HuffmanTable | undefined;
  readonly waves: HuffmanTable | undefined;
}

/** Decodes the block at `at` of `blocks`. */
export type BlockDecoder = (blocks: Int16Array, at: number, state: ScanState) => void;

/** The decoder of a scan. A long run of empty blocks is remembered in it, so each scan takes its own. */
export function blockDecoder(
  bits: EntropyReader,
  progressive: boolean,
  scan: ScanLimits,
): { readonly decode: BlockDecoder; readonly restart: () => void } {
  const nothing = (): void => undefined;
  if (!progressive) return { decode: sequential(bits), restart: nothing };
  if (scan.first === 0) {
    const decode: BlockDecoder = (blocks, at, state) => {
      if (scan.refines) blocks[at] = (blocks[at] ?? 0) | (bits.bits(1) << scan.shift);
      else blocks[at] = constantTerm(bits, state) << scan.shift;
    };
    return { decode, restart: nothing };
  }
  const waves = scan.refines ? new Refinement(bits, scan) : new FirstWaves(bits, scan);
  return { decode: (blocks, at, state) => waves.decode(blocks, at, state), restart: () => waves.restart() };
}

function constantTerm(bits: EntropyReader, state: ScanState): number {
  if (state.constant) state.previous += bits.signed(bits.symbol(state.constant));
  return state.previous;
}

function sequential(bits: EntropyReader): BlockDecoder {
  return (blocks, at, state) => {
    blocks[at] = constantTerm(bits, state);
    const { waves } = state;
    for (let k = 1; k < 64 && waves; k++) {
      const symbol = bits.symbol(waves);
      const [zeros, length] = [symbol >> 4, symbol & 15];
      k += zeros;
      if (length > 0) blocks[at + (ZIGZAG[k] ?? 63)] = bits.signed(length);
      else if (zeros < 15) break;
    }
  };
}

/** First bits of a band of coefficients. */
class FirstWaves {
  /** Blocks to come that have nothing in this band. */
  protected empty = 0;
  protected readonly bits: EntropyReader;
  protected readonly scan: ScanLimits;

  constructor(bits: EntropyReader, scan: ScanLimits) {
    this.bits = bits;
    this.scan = scan;
  }

  restart(): void {
    this.empty = 0;
  }

  decode(blocks: Int16Array, at: number, { waves }: ScanState): void {
    if (this.empty > 0) {
      this.empty--;
      return;
    }
    const { bits, scan } = this;
    for (let k = scan.first; k <= scan.last && waves; k++) {
      const symbol = bits.symbol(waves);
      const [zeros, length] = [symbol >> 4, symbol & 15];
      if (length === 0 && zeros < 15) {
        this.empty = (1 << zeros) + bits.bits(zeros) - 1;
        return;
      }
      k += zeros;
      if (length > 0) blocks[at + (ZIGZAG[k] ?? 63)] = bits.signed(length) << scan.shift;
    }
  }
}

/** One more bit of a band. */
class Refinement extends FirstWaves {
  override decode(blocks: Int16Array, at: number, { waves }: ScanState): void {
    const { bits, scan } = this;
    let k = scan.first;
    if (this.empty === 0) {
      for (; k <= scan.last && waves; k++) {
        const symbol = bits.symbol(waves);
        const zeros = symbol >> 4;
        const fresh = (symbol & 15) === 0 ? 0 : (bits.bits(1) === 1 ? 1 : -1) * (1 << scan.shift);
        if (fresh === 0 && zeros < 15) {
          this.empty = (1 << zeros) + bits.bits(zeros);
          break;
        }
        k = this.#refine(blocks, at, k, zeros);
        if (fresh !== 0) blocks[at + (ZIGZAG[k] ?? 63)] = fresh;
      }
    }
    if (this.empty === 0) return;
    this.#refine(blocks, at, k, 64);
    this.empty--;
  }

  /** Adds a bit to each coefficient that is not zero, over as many zeros as are told; where the next zero stands. */
  #refine(blocks: Int16Array, at: number, from: number, zeros: number): number {
    const one = 1 << this.scan.shift;
    let left = zeros;
    let k = from;
    for (; k <= this.scan.last; k++) {
      const place = at + (ZIGZAG[k] ?? 63);
      const value = blocks[place] ?? 0;
      if (value === 0) {
        if (left-- === 0) break;
      } else if (this.bits.bits(1) === 1 && (value & one) === 0) {
        blocks[place] = value + (value > 0 ? one : -one);
      }
    }
    return k;
  }
}
