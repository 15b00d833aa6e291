/** Encoded pictures on the device, and decoders that look at them. */
import type { NdArray } from '../../core/ndarray.ts';
import type { Shape } from '../../core/shape.ts';
import type { StepDecoder } from '../../generation/index.ts';
import type { BlipModel } from '../../models/blip/index.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import type { DeviceMemory } from '../runtime/device-memory.ts';
import { DeviceProgram } from '../runtime/device-program.ts';
import { CachedDecoder, type CachedNetwork, type DecoderSizes } from './cached-decoder.ts';
import { type HeldDecoder, LatestDecoder } from './latest-decoder.ts';

interface PictureTensors {
  readonly pixels: DeviceTensor;
  /** Keys and values of every text layer. */
  readonly context: readonly DeviceTensor[];
}

/** A batch of pictures of one size. Encoding again replaces them. */
export class EncodedPictures {
  /** Tells batches and sizes apart. */
  readonly key: string;
  readonly #memory: DeviceMemory;
  readonly #model: BlipModel;
  readonly #program: DeviceProgram<PictureTensors>;
  readonly #decoder: LatestDecoder<HeldDecoder> = new LatestDecoder();

  private constructor(memory: DeviceMemory, model: BlipModel, key: string, program: DeviceProgram<PictureTensors>) {
    this.#memory = memory;
    this.#model = model;
    this.key = key;
    this.#program = program;
  }

  /**
   * Compiles the encoder.
   * @param o.shape [N, 3, H, W]
   * @param o.positions [1, 1 + P, D] for pictures of another size than the trained one
   */
  static async create(
    memory: DeviceMemory,
    model: BlipModel,
    o: { readonly key: string; readonly shape: Shape; readonly positions: NdArray | undefined },
  ): Promise<EncodedPictures> {
    const { key, shape, positions } = o;
    const program = await DeviceProgram.compile(memory, `blip picture ${key}`, (graph, scope) => {
      const pixels = scope.tensor(shape, 'float32', 'pixels');
      const table = positions && graph.constant(positions.data, positions.shape);
      const picture = model.vision.forward(graph.input(pixels), table);
      const pairs = model.text.context(picture);
      const context = pairs.map(({ tensor }, i) => scope.store(graph, tensor, `picture keys and values ${i}`));
      return { pixels, context };
    });
    return new EncodedPictures(memory, model, key, program);
  }

  /** @param pixels [N, 3, H, W] */
  encode(pixels: NdArray): void | Promise<void> {
    this.#program.io.pixels.write(pixels.data);
    return this.#program.run();
  }

  /**
   * Begins texts about the pictures: row r about picture floor(r * N / rows). Texts of an earlier call lose their caches.
   * @param rows a multiple of N
   * @param maxLength longest text in ids; the model's own bound goes before it
   */
  async start(rows: number, maxLength: number): Promise<StepDecoder> {
    const { positions } = this.#model.config.text;
    const make = (sizes: DecoderSizes): HeldDecoder => {
      const cached = new CachedDecoder(this.#memory, this.#network(), sizes);
      return { cached, dispose: () => cached.dispose() };
    };
    return this.#decoder.take(rows, maxLength, make, positions).cached.begin();
  }

  /** The text decoder looking at these pictures. */
  #network(): CachedNetwork {
    const { context } = this.#program.io;
    const { text } = this.#model;
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

  /** Frees the encoder's program and the decoder. */
  dispose(): void {
    this.#decoder.dispose();
    this.#program.dispose();
  }
}
