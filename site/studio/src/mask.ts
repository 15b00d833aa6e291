/** The mask between the step that finds it and the edit: adjusted by numbers, and painted over by hand. */
import { blurMap, dilateMap, type NdArray, ndarray } from 'pentimento';

/** How a found map becomes a mask. */
export interface MaskAdjustments {
  /** What changes: values above it in a binary mask; a soft one is scaled by 0.5 / level. Default 0.5. */
  readonly level: number;
  /** Latents by which it grows, or shrinks below 0. Default 0. */
  readonly grow: number;
  /** Sigma of a blur, in latents. Default 0. */
  readonly soften: number;
}

/** A mask as it is found. */
export const UNTOUCHED: MaskAdjustments = { level: 0.5, grow: 0, soften: 0 };

/** Steps back that are kept. */
const UNDOABLE = 100;

/** A mask of latent size. */
export class Mask {
  readonly width: number;
  readonly height: number;
  /** Whether values between 0 and 1 count. */
  readonly soft: boolean;
  #adjustments: MaskAdjustments = UNTOUCHED;
  readonly #found: Float32Array;
  /** 0 or 1 where there is paint, NaN elsewhere. */
  #paint: Float32Array;
  readonly #before: Float32Array[] = [];

  /** @param found of values in [0, 1], rows of `width` */
  constructor(found: ArrayLike<number>, width: number, height: number, soft: boolean) {
    this.#found = Float32Array.from(found);
    this.width = width;
    this.height = height;
    this.soft = soft;
    this.#paint = new Float32Array(width * height).fill(Number.NaN);
  }

  get adjustments(): MaskAdjustments {
    return this.#adjustments;
  }

  set adjustments(adjustments: MaskAdjustments) {
    this.#adjustments = adjustments;
  }

  /** Whether anything was painted that can be undone. */
  get undoable(): boolean {
    return this.#before.length > 0;
  }

  /** What follows is one stroke, undone as one. */
  begin(): void {
    this.#before.push(this.#paint.slice());
    if (this.#before.length > UNDOABLE) this.#before.shift();
  }

  /** Paints a disc. @param value 1 for what changes, 0 for what stays; x, y and radius in latents */
  stamp(x: number, y: number, radius: number, value: 0 | 1): void {
    const range = (at: number, end: number): [number, number] => [
      Math.max(0, Math.floor(at - radius)),
      Math.min(end - 1, Math.ceil(at + radius)),
    ];
    const [[left, right], [top, bottom]] = [range(x, this.width), range(y, this.height)];
    for (let row = top; row <= bottom; row++) {
      for (let column = left; column <= right; column++) {
        const near = Math.hypot(column + 0.5 - x, row + 0.5 - y) <= Math.max(radius, 0.71);
        if (near) this.#paint[row * this.width + column] = value;
      }
    }
  }

  /** Paints discs from one place to another. */
  line(from: readonly [number, number], to: readonly [number, number], radius: number, value: 0 | 1): void {
    const steps = Math.max(1, Math.ceil(2 * Math.hypot(to[0] - from[0], to[1] - from[1])));
    for (let i = 0; i <= steps; i++) {
      const share = i / steps;
      this.stamp(from[0] + share * (to[0] - from[0]), from[1] + share * (to[1] - from[1]), radius, value);
    }
  }

  /** Takes the last stroke back. */
  undo(): void {
    this.#paint = this.#before.pop() ?? this.#paint;
  }

  /** Takes all paint off, as a stroke that can be undone. */
  clear(): void {
    this.begin();
    this.#paint.fill(Number.NaN);
  }

  /** The mask as the edit takes it, [height, width] in [0, 1]; paint counts more than what was found. */
  values(): NdArray {
    const { level, grow, soften } = this.#adjustments;
    const scale = (v: number): number => (this.soft ? Math.min(1, (v * 0.5) / level) : Number(v > level));
    let map = ndarray(this.#found.map(scale), [this.height, this.width]);
    if (grow > 0) map = dilateMap(map, grow);
    if (grow < 0) map = inverse(dilateMap(inverse(map), -grow));
    if (soften > 0) map = blurMap(map, soften);
    const data = Float32Array.from(map.data, (v, i) => {
      const painted = this.#paint[i] ?? Number.NaN;
      return Number.isNaN(painted) ? Math.min(1, Math.max(0, v)) : painted;
    });
    return ndarray(data, [this.height, this.width]);
  }
}

function inverse(map: NdArray): NdArray {
  return { ...map, data: map.data.map(v => 1 - v) };
}
