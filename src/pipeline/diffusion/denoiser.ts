/**
 * The UNet's programs: keys and values of a prompt, one guided step, one guided prediction, one map. Each is compiled once per
 * size and replayed; only a few numbers are written between replays.
 */
import type { DType } from '../../core/dtype.ts';
import type { NdArray } from '../../core/ndarray.ts';
import { dim, type Shape, sameShape } from '../../core/shape.ts';
import { timestepFeatures, type UNet2DConditionModel } from '../../models/stable-diffusion/index.ts';
import type { DeviceTensor } from '../../tensor/device-tensor.ts';
import type { Graph } from '../../tensor/graph.ts';
import { concat } from '../../tensor/ops/copy.ts';
import {
  FOUND,
  firstNonFinite,
  guidedNoise,
  guidedStep,
  maskMap,
  rescaledNoise,
  STEP_SHAPE,
  type StepValues,
  stepValues,
} from '../../tensor/ops/diffusion.ts';
import type { Tensor } from '../../tensor/tensor.ts';
import type { DeviceCall } from '../runtime/device-call.ts';
import type { DeviceMemory, TensorScope } from '../runtime/device-memory.ts';
import type { DeviceProgram } from '../runtime/device-program.ts';
import type { Network } from '../runtime/network.ts';
import type {
  DenoiserSize,
  DrawSize,
  LatentInputs,
  MapInputs,
  NoiseInputs,
  PromptContext,
  StepInputs,
  StepShape,
  UNetInputs,
  UNetRecording,
} from './denoiser-programs.ts';
import { bounded, guidedBy } from './guided-prediction.ts';
import { recordDraws } from './latent-draws.ts';
import { rowChunks } from './row-chunks.ts';

/** Prompts whose keys and values stay on the device: 8 MB each for Stable Diffusion 2.1. */
const REMEMBERED = 12;
/** Programs that stay compiled: context, map, draws of latents and of noise levels, inversion, edit. */
const KEEP = 6;

/** The UNet on the device. */
export class Denoiser {
  /** The UNet. */
  readonly network: Network<UNet2DConditionModel>;
  /**
   * Rows of the UNet's batch that run at once, from 1 on; undefined for as many as fit. Fewer need less memory and give the same
   * bits. A program that is compiled later is cut so.
   */
  rowsAtOnce: number | undefined;
  readonly #contexts: PromptContext[] = [];

  constructor(network: Network<UNet2DConditionModel>) {
    this.network = network;
  }

  /** Takes over the prompts whose keys and values another keeps, in memory of this one's own: for plans. */
  remember(memory: DeviceMemory, other: Denoiser): void {
    for (const { embeds, tensors } of other.#contexts) {
      const scope = memory.scope();
      this.#keep(
        embeds,
        tensors.map(({ shape, dtype }) => scope.tensor(shape, dtype, 'keys and values')),
        scope,
      );
    }
  }

  /** Of the latents. */
  get channels(): number {
    return this.network.model.config.outChannels;
  }

  /** One sampler step in place, with blend, noise or history as asked. */
  step(call: DeviceCall, s: StepShape, rows: readonly NdArray[]): Promise<DeviceProgram<StepInputs>> {
    return this.program(call, 'step', { size: s, rows }, r => {
      const { graph, scope, io, shape } = r;
      const frames = (count: number, label: string): DeviceTensor =>
        scope.tensor([count, ...shape.slice(1)], 'float32', label);
      const { blend } = s;
      const mask = blend && scope.tensor([blend.masks, 1, s.height, s.width], 'float32', 'mask');
      const reference = blend && frames(blend.frames * blend.references, 'reference');
      const noise = s.noise ? frames(s.images, 'noise') : undefined;
      const history = s.history ? frames(s.history * s.images, 'history') : undefined;
      const kept = blend && mask && reference && { mask: graph.input(mask), reference: graph.input(reference) };
      const moved = s.apart ? scope.tensor(shape, 'float32', 'moved latents') : io.latents;
      const [x, step] = [graph.input(moved), graph.input(io.step)];
      const both = r.predict(s.guided ? 2 : 1);
      const predicted = s.guided && (s.rescaled || s.threshold) ? guidedBy(r, both, s.rescaled) : both;
      guidedStep({
        ...(s.threshold ? bounded(r, predicted, { ...s.threshold, x }) : { prediction: predicted }),
        x,
        step,
        noise: noise && graph.input(noise),
        blend: kept && { ...kept, order: blend.order, frames: blend.frames, soft: blend.soft },
        history: history && graph.input(history),
      });
      firstNonFinite(x, step, graph.input(io.found));
      return { ...io, mask, reference, noise, history, moved };
    });
  }

  /** The guided prediction of latents, for steps that the host does. */
  noise(call: DeviceCall, s: DenoiserSize, rows: readonly NdArray[]): Promise<DeviceProgram<NoiseInputs>> {
    return this.program(call, 'noise', { size: s, rows }, ({ graph, scope, io, shape, predict }) => {
      const prediction = predict(s.guided ? 2 : 1);
      if (!s.guided) return { ...io, output: scope.store(graph, prediction.cast('float32'), 'prediction') };
      const output = scope.tensor(shape, 'float32', 'prediction');
      (s.rescaled ? rescaledNoise : guidedNoise)(prediction, graph.input(io.step), graph.input(output));
      return { ...io, output };
    });
  }

  /** Latents of pictures, at the noise level that the step's outFromX0 and sigma say. */
  draw(call: DeviceCall, s: DrawSize): Promise<DeviceProgram<LatentInputs>> {
    const shape = [s.images, this.channels, s.height, s.width];
    return call.program(this.network, `draw ${JSON.stringify(s)}`, KEEP, (graph, scope) => {
      const latents = scope.tensor(shape, 'float32', 'latents');
      const step = scope.tensor(STEP_SHAPE, 'float32', 'step');
      return { latents, step, ...recordDraws({ graph, scope }, s.draws, { into: latents, step }) };
    });
  }

  /** The difference of the predictions for two prompts on latents that are drawn anew, added to a map. */
  map(call: DeviceCall, s: DenoiserSize & DrawSize, rows: readonly NdArray[]): Promise<DeviceProgram<MapInputs>> {
    return this.program(call, 'map', { size: s, rows }, ({ graph, scope, io, shape, predict }) => {
      const draws = recordDraws({ graph, scope }, s.draws, { into: io.latents, step: io.step });
      const map = scope.tensor([s.images, 1, s.height, s.width], 'float32', 'map');
      const [step, sum] = [graph.input(io.step), graph.input(map)];
      const prediction = predict(s.guided ? 4 : 2);
      const pair = (first: number): Tensor =>
        guidedBy({ graph, scope, io, shape }, rowsIn(prediction, first * s.images, (first + 2) * s.images), true);
      maskMap(s.guided && s.rescaled ? concat([pair(0), pair(2)], 0) : prediction, step, sum);
      firstNonFinite(sum, step, graph.input(io.found));
      return { ...io, ...draws, map };
    });
  }

  /** The program of one kind and size, with the prompts' keys and values in its rows. */
  async program<I extends UNetInputs>(
    call: DeviceCall,
    kind: string,
    of: { readonly size: DenoiserSize; readonly rows: readonly NdArray[] },
    record: (r: UNetRecording) => I,
  ): Promise<DeviceProgram<I>> {
    const { size, rows } = of;
    const contexts = await this.#contextsOf(call, rows);
    const shape = [size.images, this.channels, size.height, size.width];
    const program = await call.program(
      this.network,
      `${kind} ${keyOf(size, rows, this.rowsAtOnce)}`,
      KEEP,
      (graph, scope) => {
        const io = this.#inputs(scope, shape, contexts);
        const predict = (times: number, sample = graph.input(io.latents)): Tensor =>
          this.#predict(graph, io, sample.repeat(times, 'interleaved'));
        return record({ graph, scope, shape, io, predict });
      },
    );
    fill(program.io, contexts);
    return program;
  }

  /** Writes the timestep and the numbers of the next replay. */
  set(io: UNetInputs, timestep: number, values: StepValues): void {
    io.time.write(timestepFeatures([timestep], this.network.model.config));
    io.step.write(stepValues(values));
  }

  /**
   * Begins to watch the results of a program's steps, on the device.
   * @returns a reader of the first step whose result was not finite; one word is read back
   */
  watch(io: UNetInputs): () => Promise<number | undefined> {
    io.found.write([FOUND.nothing]);
    return async () => {
      const [first = FOUND.nothing] = await io.found.read();
      return first === FOUND.nothing ? undefined : first;
    };
  }

  #inputs(scope: TensorScope, shape: readonly number[], contexts: readonly PromptContext[]): UNetInputs {
    const { model } = this.network;
    const [first] = contexts as [PromptContext];
    return {
      latents: scope.tensor(shape, 'float32', 'latents'),
      time: scope.tensor([1, timestepFeatures([0], model.config).length], 'float32', 'time'),
      step: scope.tensor(STEP_SHAPE, 'float32', 'step'),
      found: scope.tensor(FOUND.shape, 'uint32', 'first step that is not finite'),
      context: first.tensors.map(t => scope.tensor([contexts.length, ...t.shape.slice(1)], t.dtype, 'keys and values')),
      held: new Array(contexts.length).fill(undefined),
    };
  }

  #predict(graph: Graph, io: UNetInputs, sample: Tensor): Tensor {
    const { model } = this.network;
    const time = graph.input(io.time);
    const context = io.context.map(t => graph.input(t));
    const sharing = sample.dim(0) / io.held.length;
    const most = Math.min(this.rowsAtOnce ?? sample.dim(0), this.#rowsThatFit(graph, sample, io));
    const parts = rowChunks(sample.dim(0), sharing, most).map(({ first, end }) => {
      const [from, to] = [Math.floor(first / sharing), Math.ceil(end / sharing)];
      const text = context.map(tensor => ({ tensor: rowsIn(tensor, from, to) }));
      return model.forward(rowsIn(sample, first, end), time, text);
    });
    return concat(parts, 0);
  }

  /** Rows of the batch for which no result of the UNet exceeds a buffer. */
  #rowsThatFit(graph: Graph, sample: Tensor, io: UNetInputs): number {
    const bytes = graph.largestResult(trial => {
      const row = (shape: Shape, dtype: DType) => trial.allocate(shape.with(0, 1), dtype);
      const context = io.context.map(t => ({ tensor: row(t.shape, t.dtype) }));
      this.network.model.forward(row(sample.shape, 'float32'), row(io.time.shape, 'float32'), context);
    });
    return Math.max(1, Math.floor(graph.gpu.caps.maxBufferBytes / Math.max(1, bytes)));
  }

  /** Keys and values for rows of embeddings [1, L, D]; each distinct prompt is projected once. */
  async #contextsOf(call: DeviceCall, rows: readonly NdArray[]): Promise<PromptContext[]> {
    await call.use(this.network);
    const found: PromptContext[] = [];
    for (const [i, row] of rows.entries()) {
      // Rows of many pictures are the same memory.
      const same = isSameMemory(row.data, rows[i - 1]?.data) ? found[i - 1] : undefined;
      found.push(same ?? this.#known(row) ?? (await this.#project(call, row)));
    }
    const spare = this.#contexts.filter(c => !found.includes(c));
    for (const old of spare.slice(0, Math.max(0, this.#contexts.length - REMEMBERED))) {
      this.network.detach(old);
    }
    return found;
  }

  #known(row: NdArray): PromptContext | undefined {
    const at = this.#contexts.findIndex(
      c => sameShape(c.embeds.shape, row.shape) && sameValues(c.embeds.data, row.data),
    );
    const known = this.#contexts[at];
    if (known) this.#contexts.push(...this.#contexts.splice(at, 1)); // now the latest
    return known;
  }

  async #project(call: DeviceCall, row: NdArray): Promise<PromptContext> {
    const program = await call.program(this.network, `context ${row.shape.join('x')}`, KEEP, (graph, scope) => {
      const input = scope.tensor(row.shape, 'float32', 'embeddings');
      const pairs = this.network.model.context(graph.input(input));
      return { input, outputs: pairs.map(({ tensor }) => scope.store(graph, tensor, 'keys and values')) };
    });
    program.io.input.write(row.data);
    await program.run(call);
    const scope = call.memory.scope();
    const tensors = program.io.outputs.map(output => {
      const tensor = scope.tensor(output.shape, output.dtype, 'keys and values');
      tensor.copyFrom(output);
      return tensor;
    });
    return this.#keep({ data: row.data.slice(), shape: row.shape }, tensors, scope);
  }

  #keep(embeds: NdArray, tensors: readonly DeviceTensor[], scope: TensorScope): PromptContext {
    const made: PromptContext = {
      embeds,
      tensors,
      dispose: () => {
        this.#contexts.splice(this.#contexts.indexOf(made), 1);
        scope.dispose();
      },
    };
    this.#contexts.push(made);
    this.network.attach(made);
    return made;
  }
}

/** Puts the contexts into the program's rows, unless they stand there already. */
function fill(io: UNetInputs, contexts: readonly PromptContext[]): void {
  contexts.forEach((context, row) => {
    if (io.held[row] === context) return;
    io.context.forEach((slot, i) => {
      slot.copyRows(context.tensors[i] as DeviceTensor, { to: row });
    });
    io.held[row] = context;
  });
}

/** Entries [first, end) of the batch; all of them are the tensor itself. */
function rowsIn(x: Tensor, first: number, end: number): Tensor {
  return first === 0 && end === x.dim(0) ? x : x.slice(0, first, end);
}

function keyOf(s: DenoiserSize, rows: readonly NdArray[], rowsAtOnce: number | undefined): string {
  return JSON.stringify({ ...s, length: dim(rows[0]?.shape ?? [], 1), rows: rows.length, rowsAtOnce });
}

function isSameMemory(a: Float32Array, b: Float32Array | undefined): boolean {
  return a.buffer === b?.buffer && a.byteOffset === b.byteOffset && a.length === b.length;
}

function sameValues(a: Float32Array, b: Float32Array): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}
