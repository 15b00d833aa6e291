/** Encoded pictures on the device, and decoders that look at them. */
import type { NdArray } from '../core/ndarray.ts';
import { alignUp, type Shape } from '../core/shape.ts';
import type { StepDecoder } from '../generation/index.ts';
import type { DeviceTensor } from '../tensor/device-tensor.ts';
import { Graph } from '../tensor/graph.ts';
import { type DecoderHome, TextDecoder } from './blip-decoder.ts';
import { Program, Scope } from './components.ts';

/** Caches of calls that ask for about the same length are the same. */
const CAPACITY_STEP = 32;

interface Pictures {
  readonly pixels: DeviceTensor;
  /** Keys and values of every text layer. */
  readonly context: readonly DeviceTensor[];
}

/** A batch of pictures of one size. Encoding again replaces them. */
export class PictureContext {
  /** Tells batches and sizes apart. */
  readonly key: string;
  readonly #home: DecoderHome;
  readonly #program: Program<Pictures>;
  #decoder: TextDecoder | undefined;

  private constructor(home: DecoderHome, key: string, program: Program<Pictures>) {
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
    home: DecoderHome,
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
    this.#decoder = new TextDecoder(this.#home, this.#program.io.context, { rows, capacity });
    return this.#decoder.begin();
  }

  dispose(): void {
    this.#decoder?.dispose();
    this.#decoder = undefined;
    this.#program.dispose();
  }
}
