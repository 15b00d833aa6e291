/** Encoded pictures on the device, and decoders that look at them. */
import type { NdArray } from '../../core/ndarray.ts';
import { alignUp, type Shape } from '../../core/shape.ts';
import type { StepDecoder } from '../../generation/index.ts';
import type { BlipModel } from '../../models/blip/index.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import { Graph } from '../../tensor/graph.ts';
import { Program, Scope } from '../runtime/network.ts';
import { CachedDecoder, type CachedNetwork, type DecoderHome } from './cached-decoder.ts';

/** Caches of calls that ask for about the same length are the same. */
const CAPACITY_STEP = 32;

/** Where a captioner lives. */
export interface CaptionerHome extends DecoderHome {
  readonly model: BlipModel;
}

interface Pictures {
  readonly pixels: DeviceTensor;
  /** Keys and values of every text layer. */
  readonly context: readonly DeviceTensor[];
}

/** A batch of pictures of one size. Encoding again replaces them. */
export class PictureContext {
  /** Tells batches and sizes apart. */
  readonly key: string;
  readonly #home: CaptionerHome;
  readonly #program: Program<Pictures>;
  #decoder: CachedDecoder | undefined;

  private constructor(home: CaptionerHome, key: string, program: Program<Pictures>) {
    this.#home = home;
    this.key = key;
    this.#program = program;
  }

  /**
   * Compiles the encoder.
   * @param shape [N, 3, H, W]
   * @param positions [1, 1 + P, D] for pictures of another size than the trained one
   */
  static async create(
    home: CaptionerHome,
    key: string,
    shape: Shape,
    positions: NdArray | undefined,
  ): Promise<PictureContext> {
    const { gpu, memory, dtype, model } = home;
    const scope = new Scope(gpu, memory);
    try {
      const graph = new Graph(gpu, { dtype });
      const pixels = scope.tensor(shape, 'float32', 'pixels');
      const table = positions && graph.constant(positions.data, positions.shape);
      const picture = model.vision.forward(graph.input(pixels), table);
      const context = model.text.context(picture).map(({ tensor }, i) => {
        const target = scope.tensor(tensor.shape, tensor.dtype, `picture keys and values ${i}`);
        graph.store(tensor, target);
        return target;
      });
      const plan = await graph.compile({ label: `blip picture ${key}` });
      return new PictureContext(home, key, new Program(plan, { pixels, context }, scope));
    } catch (error) {
      scope.dispose();
      throw error;
    }
  }

  /** @param pixels [N, 3, H, W] */
  encode(pixels: NdArray): void {
    this.#program.io.pixels.write(pixels.data);
    this.#program.plan.run();
  }

  /**
   * Begins texts about the pictures: row r about picture floor(r * N / rows). Texts of an earlier call lose their caches.
   * @param rows a multiple of N
   * @param maxLength longest text in ids; the model's own bound goes before it
   */
  async start(rows: number, maxLength: number): Promise<StepDecoder> {
    const { positions } = this.#home.model.config.text;
    const capacity = Math.min(positions, alignUp(maxLength, CAPACITY_STEP));
    const known = this.#decoder;
    if (known?.sizes.rows === rows && known.sizes.capacity === capacity) return known.begin();
    known?.dispose();
    this.#decoder = undefined;
    this.#decoder = new CachedDecoder(this.#home, this.#network(), { rows, capacity });
    return this.#decoder.begin();
  }

  /** The text decoder looking at these pictures. */
  #network(): CachedNetwork {
    const { context } = this.#program.io;
    const { text } = this.#home.model;
    return {
      name: 'blip text',
      vocab: text.config.vocabulary,
      blocks: context.length,
      cacheWidth: text.cacheWidth,
      inputs: context[0]?.shape[0] ?? 1,
      step: (ids, { caches, lengths, positions }) =>
        text.forwardCached(
          ids,
          context.map(tensor => ({ tensor: ids.graph.input(tensor) })),
          { positions, caches: caches.map(tensor => ({ tensor, lengths })) },
        ),
    };
  }

  dispose(): void {
    this.#decoder?.dispose();
    this.#decoder = undefined;
    this.#program.dispose();
  }
}
