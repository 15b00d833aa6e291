/** Pictures to latents and back through the VAE: one by one, a few small ones at a time, or by tiles. */
import { InputError } from '../../core/errors.ts';
import { checkNames } from '../../core/known-names.ts';
import type { NdArray } from '../../core/ndarray.ts';
import { dim, sizeOf } from '../../core/shape.ts';
import { concatenate } from '../../io/preprocess.ts';
import {
  type AutoencoderKL,
  decoderTiling,
  encoderTiling,
  pasteTile,
  type TileSizes,
  type Tiling,
  tileSizes,
  vaeScaleFactor,
} from '../../models/stable-diffusion/index.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import type { Graph } from '../../tensor/graph.ts';
import { FOUND, firstNonFinite, STEP_SHAPE } from '../../tensor/ops/diffusion.ts';
import { copyCrop } from '../../tensor/ops/tiles.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { DeviceCall } from '../runtime/device-call.ts';
import type { TensorScope } from '../runtime/device-memory.ts';
import { checkFinite, nonFiniteResult } from '../runtime/finite.ts';
import type { Network } from '../runtime/network.ts';
import { byTiles, joinedSides, tilesIn } from './autoencoder-tiles.ts';
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
   * @returns moments [N, 2 * latent channels, h, w]: means, then logarithms of variances; on the device, in the call's memory
   * @throws NumericsError for moments that are not finite
   */
  async encode(call: DeviceCall, pictures: NdArray): Promise<DeviceTensor> {
    const [count, , height, width] = pictures.shape as [number, number, number, number];
    const { tiling } = this.saving ?? this;
    const tiles = tiling && encoderTiling(height, width, tiling);
    if (tiles) this.#checkIdle(tiles, height, width);
    const cut = isCut(tiles) ? tiles : undefined;
    const pieces = cut ? tilesIn(cut) : 1;
    const report = call.phase('encode', count * pieces);
    const sides = cut
      ? joinedSides(cut, 1 / this.factor)
      : { height: height / this.factor, width: width / this.factor };
    const shape = [count, 2 * this.network.model.config.latentChannels, sides.height, sides.width];
    const moments = call.scope.tensor(shape, cut ? 'float32' : call.memory.dtype, 'moments');
    for (let i = 0; i < count; i++) {
      const picture = rowsOf(pictures, i, i + 1);
      const onTile = (tile: number): void => report.done(i * pieces + tile);
      if (cut) await this.#encodeTiles(call, picture, cut, { moments, image: i, onTile });
      else {
        moments.copyRows(await this.#run(call, picture, 'encode'), { to: i });
        report.done(i + 1);
      }
    }
    return moments;
  }

  /**
   * Pictures of latents.
   * @param latents [N, latent channels, h, w] as the UNet has them
   * @returns [N, 3, H, W], about in [-1, 1]
   * @throws NumericsError for pictures that are not finite
   */
  async decode(call: DeviceCall, latents: NdArray): Promise<NdArray> {
    const count = dim(latents.shape, 0);
    const pictures: NdArray[] = [];
    const { slicing, tiling } = this.saving ?? this;
    const [height, width] = [dim(latents.shape, 2), dim(latents.shape, 3)];
    const tiles = tiling && decoderTiling(height, width, tiling);
    const step = slicing ? 1 : this.#atOnce(tiles?.rows[0]?.[0] ?? { height, width });
    if (tiles) this.#checkIdle(tiles, height * this.factor, width * this.factor);
    // Pictures that go through the decoder together are one piece by tiles.
    const pieces = isCut(tiles) ? tilesIn(tiles) : 1;
    const report = call.phase('decode', isCut(tiles) ? Math.ceil(count / step) * pieces : count);
    for (let i = 0; i < count; i += step) {
      const end = Math.min(count, i + step);
      const some = rowsOf(latents, i, end);
      if (isCut(tiles)) {
        const onTile = (tile: number): void => report.done((i / step) * pieces + tile);
        pictures.push(await this.#decodeTiles(call, some, tiles, onTile));
      } else {
        pictures.push(await this.#decodeWhole(call, some));
        report.done(end);
      }
    }
    return concatenate(pictures, 'decode');
  }

  /** How many maps of latents go through the decoder together; the numbers are the same either way. */
  #atOnce({ height, width }: { readonly height: number; readonly width: number }): number {
    const pixels = height * width * this.factor ** 2;
    return Math.min(DECODE_BATCH, Math.max(1, Math.floor(DECODE_PIXELS / pixels)));
  }

  async #encodeTiles(
    call: DeviceCall,
    picture: NdArray,
    tiling: Tiling,
    {
      moments,
      image,
      onTile,
    }: { readonly moments: DeviceTensor; readonly image: number; readonly onTile: (done: number) => void },
  ): Promise<void> {
    await byTiles(call, picture, tiling, {
      onTile,
      run: tile => this.#run(call, tile, 'encode', true),
      take: (tile, { top, left, height, width }) =>
        call.effect('keep a tile', graph => {
          const crop = { top: 0, left: 0, height, width };
          copyCrop(graph.input(tile), crop, graph.input(moments), { image, top, left });
        }),
    });
  }

  async #decodeWhole(call: DeviceCall, latents: NdArray): Promise<NdArray> {
    return this.#read(call, await this.#run(call, latents, 'decode'));
  }

  /** The host joins what is read of the tiles: the whole picture need not fit into a buffer. */
  async #decodeTiles(
    call: DeviceCall,
    latents: NdArray,
    tiling: Tiling,
    onTile: (done: number) => void,
  ): Promise<NdArray> {
    const { outChannels } = this.network.model.config;
    const { height, width } = joinedSides(tiling, this.factor);
    const shape = [dim(latents.shape, 0), outChannels, height, width];
    const joined = { data: new Float32Array(sizeOf(shape)), shape };
    await byTiles(call, latents, tiling, {
      onTile,
      run: tile => this.#run(call, tile, 'decode', true),
      take: async (tile, at) => pasteTile(await this.#read(call, tile), joined, at),
    });
    return joined;
  }

  async #read(call: DeviceCall, picture: DeviceTensor): Promise<NdArray> {
    const data = await picture.read();
    checkFinite(data, 'decode', call.memory.dtype);
    return { data, shape: picture.shape };
  }

  /** @returns the program's own tensor, which lasts until its next run; f32 for tiles */
  async #run(call: DeviceCall, input: NdArray, way: 'encode' | 'decode', isTile = false): Promise<DeviceTensor> {
    call.check();
    const { model } = this.network;
    const key = `${way}${isTile ? ' tile' : ''} ${input.shape.join('x')}`;
    const program = await call.program(this.network, key, 2, (graph, scope) => {
      const x = scope.tensor(input.shape, 'float32', `${key} input`);
      const own = graph.input(x);
      const result = way === 'encode' ? model.encode(own) : model.decode(own.scale(1 / this.scalingFactor));
      const y = scope.store(graph, isTile ? result.cast('float32') : result, `${key} output`);
      return { x, y, found: way === 'encode' ? watched(graph, scope, result) : undefined };
    });
    const { x, y, found } = program.io;
    x.write(input.data);
    found?.write([FOUND.nothing]);
    await program.run(call);
    const [first = FOUND.nothing] = found ? await found.read() : [];
    call.check(); // who disposed of the model meanwhile has freed what is to be copied
    if (first !== FOUND.nothing) throw nonFiniteResult(way, call.memory.dtype);
    return y;
  }
}

/** What is read of a result that stays on the device: whether it is finite. */
function watched(graph: Graph, scope: TensorScope, result: Tensor): DeviceTensor {
  const found = scope.tensor(FOUND.shape, 'uint32', 'found');
  firstNonFinite(result, graph.input(scope.tensor(STEP_SHAPE, 'float32', 'step')), graph.input(found));
  return found;
}

function isCut(tiling: Tiling | undefined): tiling is Tiling {
  return tiling !== undefined && (tiling.rows.length > 1 || (tiling.rows[0]?.length ?? 0) > 1);
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
