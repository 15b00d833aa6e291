/** How much a UNet believes latents: the error of its own prediction on them, which torn seams raise above all. */
import type { NdArray } from '../../src/core/ndarray.ts';
import { sameShape } from '../../src/core/shape.ts';
import type { FolderSource } from '../../src/core/tensor-source.ts';
import type { Gpu } from '../../src/gpu/device.ts';
import { openCheckpoint } from '../../src/io/checkpoint.ts';
import { parseUNetConfig, timestepFeatures, UNet2DConditionModel } from '../../src/models/stable-diffusion/index.ts';
import type { LoadedWeights } from '../../src/nn/load.ts';
import { Weights } from '../../src/nn/weights.ts';
import { type DDIMScheduler, Generator } from '../../src/schedulers/index.ts';
import { DeviceTensor } from '../../src/tensor/device-tensor.ts';
import { Graph } from '../../src/tensor/graph.ts';
import type { Plan } from '../../src/tensor/plan.ts';

/** Low and middle noise, where seams and colours are decided. */
const TIMESTEPS = [61, 161, 301];
/** The same noise for every edit. */
const SEED = 5;

/** The UNet for latents and a prompt of one size. */
interface Program {
  readonly plan: Plan;
  readonly sample: DeviceTensor;
  readonly time: DeviceTensor;
  readonly prompt: DeviceTensor;
  readonly prediction: DeviceTensor;
}

/** A UNet of its own on the device. */
export class Naturalness {
  readonly #gpu: Gpu;
  readonly #model: UNet2DConditionModel;
  readonly #weights: LoadedWeights;
  readonly #scheduler: DDIMScheduler;
  #program: Program | undefined;

  private constructor(gpu: Gpu, model: UNet2DConditionModel, weights: LoadedWeights, scheduler: DDIMScheduler) {
    this.#gpu = gpu;
    this.#model = model;
    this.#weights = weights;
    this.#scheduler = scheduler;
  }

  /** @param folder of a UNet, with its config.json */
  static async open(gpu: Gpu, folder: FolderSource, scheduler: DDIMScheduler): Promise<Naturalness> {
    const w = Weights.open(await openCheckpoint(folder, 'diffusion_pytorch_model'));
    const config = parseUNetConfig(JSON.parse(await folder.text('config.json')), folder.label);
    const model = new UNet2DConditionModel(w, config);
    return new Naturalness(gpu, model, await w.load(gpu), scheduler);
  }

  /**
   * Mean over t of mean (f(x_t, t, c) - target)^2, x_t = sqrt(a_t) z + sqrt(1 - a_t) n, with n of one stream for all t in turn.
   * The target is the noise n, or for v-prediction sqrt(a_t) n - sqrt(1 - a_t) z (arXiv 2202.00512, appendix D).
   * @param latents z, [1, C, h, w]
   * @param prompt embeddings c of what they shall show, [1, L, D]
   */
  async errorOf(latents: NdArray, prompt: NdArray): Promise<number> {
    const { plan, sample, time, prompt: text, prediction } = await this.#programFor(latents, prompt);
    const scheduler = this.#scheduler;
    const generator = new Generator(SEED);
    text.write(prompt.data);
    let sum = 0;
    for (const t of TIMESTEPS) {
      const noise = { data: generator.randn(latents.shape), shape: latents.shape };
      sample.write(scheduler.addNoise(latents, noise, t).data);
      time.write(timestepFeatures([t], this.#model.config));
      plan.run();
      const found = await prediction.read();
      const predictsNoise = scheduler.config.predictionType === 'epsilon';
      const target = predictsNoise ? noise : scheduler.getVelocity(latents, noise, t);
      sum += target.data.reduce((all, value, i) => all + (found[i]! - value) ** 2, 0) / target.data.length;
    }
    return sum / TIMESTEPS.length;
  }

  /** Frees what is on the device. */
  dispose(): void {
    this.#drop();
    this.#weights.dispose();
  }

  async #programFor(latents: NdArray, prompt: NdArray): Promise<Program> {
    const known = this.#program;
    if (known && sameShape(known.sample.shape, latents.shape) && sameShape(known.prompt.shape, prompt.shape)) {
      return known;
    }
    this.#drop();
    const features = timestepFeatures([0], this.#model.config).length;
    const create = (shape: readonly number[]): DeviceTensor => DeviceTensor.create(this.#gpu, shape);
    const [sample, time, text] = [create(latents.shape), create([1, features]), create(prompt.shape)];
    const prediction = create(latents.shape);
    const graph = new Graph(this.#gpu, { dtype: 'float32' });
    const context = this.#model.context(graph.input(text));
    graph.store(this.#model.forward(graph.input(sample), graph.input(time), context), prediction);
    const plan = await graph.compile({ label: 'naturalness' });
    this.#program = { plan, sample, time, prompt: text, prediction };
    return this.#program;
  }

  #drop(): void {
    if (!this.#program) return;
    const { plan, sample, time, prompt, prediction } = this.#program;
    plan.dispose();
    for (const tensor of [sample, time, prompt, prediction]) tensor.dispose();
    this.#program = undefined;
  }
}
