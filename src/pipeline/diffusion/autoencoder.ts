/** Pictures to latents and back through the VAE: one by one, a few small ones at a time, or by tiles. */
import { InputError } from '../../core/errors.ts';
import { checkNames } from '../../core/known-names.ts';
import type { NdArray } from '../../core/ndarray.ts';
import { dim } from '../../core/shape.ts';
import { concatenate } from '../../io/preprocess.ts';
import {
  type AutoencoderKL,
  blendTiles,
  cutTile,
  decoderTiling,
  encoderTiling,
  type TileSizes,
  type Tiling,
  tileSizes,
  vaeScaleFactor,
} from '../../models/stable-diffusion/index.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { DeviceCall } from '../runtime/device-call.ts';
import type { Network } from '../runtime/network.ts';
import { rowsOf } from './rows.ts';

/** Pictures decoded at once unless slicing is on; of large ones fewer, since one alone keeps a device busy. */
const DECODE_BATCH = 4;
/** Pixels decoded at once: four pictures of 256 x 256, one of 512 x 512. */
const DECODE_PIXELS = 512 * 512;

/** The VAE with its slicing and tiling switches. */
export class Autoencoder {
  /** Encoder and decoder. */
  readonly network: Network<AutoencoderKL>;
  /** Pixels behind one latent side. */
  readonly factor: number;
  /** One picture at a time. */
  slicing = false;
  /** Sides of tiles; undefined: no tiling. */
  tiling: TileSizes | undefined;
  /** In place of both, for the call that runs. */
  saving: Pick<Autoencoder, 'slicing' | 'tiling'> | undefined;

  readonly #warn: (message: string) => void;
  /** Whether the tiles that were asked for were found larger than a picture, and somebody told. */
  #toldIdle = false;

  constructor(network: Network<AutoencoderKL>, warn: (message: string) => void) {
    this.network = network;
    this.#warn = warn;
    this.factor = vaeScaleFactor(network.model.config);
  }

  /** What the UNet's latents are divided by before decoding; 0.18215 for Stable Diffusion. */
  get scalingFactor(): number {
    return this.network.model.config.scalingFactor;
  }

  /**
   * Turns tiling on.
   * @param sizes of pixels and latents one gives the other; default: the tile that the model was trained on
   * @throws InputError for tiles whose results would not meet
   */
  tile(op: string, sizes: Partial<TileSizes>): void {
    const { factor } = this;
    checkNames(op, sizes, ['pixels', 'latents', 'overlap']);
    const { pixels, latents, overlap } = sizes;
    const own = tileSizes(this.network.model.config);
    const side = latents ?? (pixels === undefined ? own.latents : pixels / factor);
    const tile = { pixels: pixels ?? side * factor, latents: side, overlap: overlap ?? own.overlap };
    checkTile(op, tile, factor);
    this.tiling = tile;
    this.#toldIdle = false;
  }

  /** Tells once that tiles were asked for and there is nothing for them to do. */
  #checkIdle({ rows }: Tiling, height: number, width: number): void {
    if (this.#toldIdle || !this.tiling || rows.length > 1 || (rows[0]?.length ?? 0) > 1) return;
    this.#toldIdle = true;
    const step = 4 * this.factor; // a quarter of overlap is whole latents
    const smaller = step * Math.floor(Math.max(height, width) / 1.5 / step);
    const fix = smaller > 0 ? `; smaller ones: enableVaeTiling({ pixels: ${smaller} })` : '';
    const { pixels } = this.tiling;
    this.#warn(`VAE tiling has nothing to do: no side of ${width}x${height} is above a tile's ${pixels} pixels${fix}`);
  }

  /**
   * What the encoder says about pictures, each encoded once.
   * @param pictures [N, 3, H, W] in [-1, 1]
   * @returns moments [N, 2 * latent channels, h, w]: means, then logarithms of variances
   */
  async encode(call: DeviceCall, pictures: NdArray): Promise<NdArray> {
    const count = dim(pictures.shape, 0);
    const report = call.phase('encode', count);
    const { tiling } = this.saving ?? this;
    const moments: NdArray[] = [];
    for (let i = 0; i < count; i++) {
      const picture = rowsOf(pictures, i, i + 1);
      const [height, width] = [dim(picture.shape, 2), dim(picture.shape, 3)];
      const tiles = tiling && encoderTiling(height, width, tiling);
      if (tiles) this.#checkIdle(tiles, height, width);
      moments.push(await this.#byTiles(call, picture, tiles, 'encode'));
      report.done(i + 1);
    }
    return concatenate(moments, 'encode');
  }

  /**
   * Pictures of latents.
   * @param latents [N, latent channels, h, w] as the UNet has them
   * @returns [N, 3, H, W], about in [-1, 1]
   */
  async decode(call: DeviceCall, latents: NdArray): Promise<NdArray> {
    const count = dim(latents.shape, 0);
    const report = call.phase('decode', count);
    const pictures: NdArray[] = [];
    const { slicing, tiling } = this.saving ?? this;
    const [height, width] = [dim(latents.shape, 2), dim(latents.shape, 3)];
    const tiles = tiling && decoderTiling(height, width, tiling);
    const step = slicing ? 1 : this.#atOnce(tiles?.rows[0]?.[0] ?? { height, width });
    if (tiles) this.#checkIdle(tiles, height * this.factor, width * this.factor);
    for (let i = 0; i < count; i += step) {
      const end = Math.min(count, i + step);
      pictures.push(await this.#byTiles(call, rowsOf(latents, i, end), tiles, 'decode'));
      report.done(end);
    }
    return concatenate(pictures, 'decode');
  }

  /** How many maps of latents go through the decoder together; the numbers are the same either way. */
  #atOnce({ height, width }: { readonly height: number; readonly width: number }): number {
    const pixels = height * width * this.factor ** 2;
    return Math.min(DECODE_BATCH, Math.max(1, Math.floor(DECODE_PIXELS / pixels)));
  }

  async #byTiles(call: DeviceCall, x: NdArray, tiling: Tiling | undefined, way: 'encode' | 'decode'): Promise<NdArray> {
    if (!tiling) return this.#run(call, x, way);
    const results: NdArray[][] = [];
    for (const row of tiling.rows) {
      const done: NdArray[] = [];
      for (const tile of row) done.push(await this.#run(call, cutTile(x, tile), way));
      results.push(done);
    }
    return blendTiles(results, tiling);
  }

  async #run(call: DeviceCall, x: NdArray, way: 'encode' | 'decode'): Promise<NdArray> {
    call.check();
    const { model } = this.network;
    const forward = (input: Tensor): Tensor =>
      way === 'encode' ? model.encode(input) : model.decode(input.scale(1 / this.scalingFactor));
    return call.evaluate(this.network, `${way} ${x.shape.join('x')}`, 2, { ...x, dtype: 'float32' }, forward);
  }
}

function checkTile(op: string, tile: TileSizes, factor: number): void {
  const { pixels, latents, overlap } = tile;
  const fix = `For example pixels ${32 * factor}, latents 32, overlap 0.25.`;
  if (!(Number.isInteger(latents) && latents > 0 && pixels === latents * factor)) {
    const expected = `whole latents, and ${factor} times as many pixels`;
    throw new InputError({ op, problem: 'no size of tiles', expected, value: tile, path: 'sizes', fix });
  }
  // What one tile leaves off its neighbour must begin: the same whole number of latents in both directions.
  const stride = Math.trunc(latents * (1 - overlap));
  const meet =
    stride + Math.trunc(latents * overlap) === latents &&
    Math.trunc(pixels * (1 - overlap)) === stride * factor &&
    Math.trunc(pixels * overlap) === pixels - stride * factor;
  if (typeof overlap === 'number' && overlap >= 0 && overlap < 1 && stride >= 1 && meet) return;
  const expected = 'a share from 0 to below 1 that makes a whole number of latents';
  throw new InputError({ op, problem: 'tiles that do not meet', expected, value: tile, path: 'sizes.overlap', fix });
}
