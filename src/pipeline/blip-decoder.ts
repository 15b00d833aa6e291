/** BLIP's text decoder at work. */
import { InputError } from '../core/errors.ts';
import type { Sequences, StepDecoder } from '../generation/index.ts';
import type { Gpu } from '../gpu/device.ts';
import type { BlipModel } from '../models/blip/index.ts';
import type { DeviceTensor } from '../tensor/device-tensor.ts';
import { Graph } from '../tensor/graph.ts';
import { type Memory, Scope } from './components.ts';

export interface ContextHome {
  readonly gpu: Gpu;
  readonly memory: Memory;
  readonly dtype: 'float32' | 'float16';
  readonly model: BlipModel;
}

/** Rows of ids that grow by one id a step. */
export class TextDecoder implements StepDecoder {
  readonly vocab: number;
  readonly rows: number;
  readonly #home: ContextHome;
  readonly #picture: readonly DeviceTensor[];
  #ids: (readonly number[])[] = [];

  constructor(home: ContextHome, picture: readonly DeviceTensor[], rows: number, _maxLength: number) {
    this.#home = home;
    this.#picture = picture;
    this.vocab = home.model.config.text.vocabulary;
    this.rows = rows;
  }

  prefill(ids: Sequences): Promise<Float32Array> {
    this.#ids = [...ids];
    return this.#run();
  }

  step(tokens: readonly number[], reorder?: readonly number[]): Promise<Float32Array> {
    const before = reorder ? reorder.map(r => this.#ids[r] ?? []) : this.#ids;
    this.#ids = before.map((row, r) => [...row, tokens[r] ?? 0]);
    return this.#run();
  }

  dispose(): void {
    this.#ids = [];
  }

  async #run(): Promise<Float32Array> {
    const { gpu, dtype, memory, model } = this.#home;
    const length = this.#ids[0]?.length ?? 0;
    const { positions } = model.config.text;
    if (length > positions) {
      const problem = 'the caption is longer than the text decoder writes';
      const fix = 'Lower maxNewTokens.';
      throw new InputError({ op: 'generate', problem, expected: `at most ${positions} ids`, received: length, fix });
    }
    const scope = new Scope(gpu, memory);
    try {
      const graph = new Graph(gpu, { dtype });
      const ids = scope.tensor([this.rows, length], 'uint32');
      ids.write(this.#ids.flat());
      const picture = this.#picture.map(tensor => ({ tensor: graph.input(tensor) }));
      const logits = model.text.forward(graph.input(ids), picture);
      const out = scope.tensor(logits.shape, 'float32');
      graph.store(logits, out);
      const plan = await graph.compile({ label: `blip text ${length}` });
      plan.run();
      const values = await out.read();
      plan.dispose();
      const last = new Float32Array(this.rows * this.vocab);
      for (let r = 0; r < this.rows; r++) {
        const end = (r + 1) * length * this.vocab;
        last.set(values.subarray(end - this.vocab, end), r * this.vocab);
      }
      return last;
    } finally {
      scope.dispose();
    }
  }
}
