/** The worker's side: it holds models, and answers for them. */
import { DeviceError, InputError, type PentimentoError } from '../core/errors.ts';
import { loadPart } from '../core/load-part.ts';
import type { ByteSource, FolderSource } from '../core/tensor-source.ts';
import { Gpu, type GpuOptions } from '../gpu/device.ts';
import { DiffEditPipeline } from '../pipeline/diffedit/pipeline.ts';
import { StableDiffusionModel } from '../pipeline/diffusion/stable-diffusion-model.ts';
import { ImageToImagePipeline } from '../pipeline/image-generation/image-to-image.ts';
import { InpaintPipeline } from '../pipeline/image-generation/inpaint.ts';
import { TextToImagePipeline } from '../pipeline/image-generation/text-to-image.ts';
import { BlipForConditionalGeneration } from '../pipeline/text/blip.ts';
import { T5ForConditionalGeneration } from '../pipeline/text/t5.ts';
import type { SchedulerJson } from '../schedulers/config.ts';
import { DDIMScheduler } from '../schedulers/ddim.ts';
import { DDIMInverseScheduler } from '../schedulers/ddim-inverse.ts';
import { Generator, type GeneratorState } from '../schedulers/generator.ts';
import { folderFrom } from './folders.ts';
import type { Note } from './pack.ts';
import { answersOneAtATime, type Drawn, Peer, type PortLike } from './peer.ts';

/** What is opened. */
export type ModelKind =
  | 'diffedit'
  | 'single-file'
  | 'captioner'
  | 'language-model'
  | GenerationKind
  | `${GenerationKind}-file`;

/** Pipelines that make pictures. */
type GenerationKind = 'text' | 'image' | 'inpaint';

const GENERATION: {
  readonly text: typeof TextToImagePipeline;
  readonly image: typeof ImageToImagePipeline;
  readonly inpaint: typeof InpaintPipeline;
} = { text: TextToImagePipeline, image: ImageToImagePipeline, inpaint: InpaintPipeline };

/** A model that the worker holds, whatever it is. */
interface Model {
  readonly gpu: Gpu;
  readonly dtype: string;
  readonly bytes: number;
  readonly hostBytes: number;
  readonly peakBytes: number;
  dispose(): void;
}

/** How models are opened. Tests stand in for it. */
export type OpenModel = (
  kind: ModelKind,
  source: unknown,
  options: Readonly<Record<string, unknown>>,
) => Promise<Model>;

const openModel: OpenModel = (kind, source, options) => {
  const folder = source as FolderSource;
  if (kind === 'captioner') return BlipForConditionalGeneration.fromPretrained(folder, options);
  if (kind === 'language-model') return T5ForConditionalGeneration.fromPretrained(folder, options);
  if (kind === 'single-file') return DiffEditPipeline.fromSingleFile(source as ByteSource, options);
  const [name = '', file] = kind.split('-');
  if (!isGeneration(name)) return DiffEditPipeline.fromPretrained(folder, options);
  const pipeline = GENERATION[name];
  return file ? pipeline.fromSingleFile(source as ByteSource, options) : pipeline.fromPretrained(folder, options);
};

function isGeneration(name: string): name is GenerationKind {
  return Object.hasOwn(GENERATION, name);
}

/** Results that the models keep for later calls: they are copied. */
const KEPT = ['encodePrompt', 'embedPrompts', 'encode', 'logits', 'plan', 'planSavings'];
/** Members that are no calls of a page's. */
const HIDDEN = ['constructor', 'dispose', 'fromPretrained', 'fromSingleFile', 'as'];

/** A device of the worker, and who gives it back. */
interface Taken {
  readonly gpu: Promise<Gpu>;
  readonly release: () => void;
}

/** One device for all models that wish for the same; it goes with the last of them. */
class Devices {
  readonly #open = new Map<string, { readonly gpu: Promise<Gpu>; users: number }>();
  readonly #request: (options: GpuOptions) => Promise<Gpu>;

  constructor(request: (options: GpuOptions) => Promise<Gpu>) {
    this.#request = request;
  }

  take(wanted: GpuOptions): Taken {
    const key = JSON.stringify(wanted);
    const shared = this.#open.get(key) ?? { gpu: this.#request(wanted), users: 0 };
    this.#open.set(key, shared);
    shared.users++;
    let held = true;
    const release = (): void => {
      if (!held) return;
      held = false;
      if (--shared.users > 0) return;
      if (this.#open.get(key) === shared) this.#open.delete(key);
      void shared.gpu.then(
        gpu => gpu.dispose(),
        () => undefined,
      );
    };
    return { gpu: shared.gpu, release };
  }
}

/** How a port is served. */
export interface ServeOptions {
  /** In place of the models' own fromPretrained. */
  readonly open?: OpenModel;
  /** Opens devices where there is no navigator.gpu, as in Node. */
  readonly requestGpu?: (options: GpuOptions) => Promise<Gpu>;
}

/**
 * Answers for models on a port, until its other end goes.
 * @param port a worker's own global object, or a MessagePort
 */
export function serveModels(port: PortLike, options: ServeOptions = {}): void {
  const { open = openModel, requestGpu = Gpu.request } = options;
  const models = new Models(open, new Devices(requestGpu));
  const calls: Readonly<Record<string, (...args: readonly unknown[]) => unknown>> = {
    open: (kind, source, given) => models.open(kind as ModelKind, source, given as { gpuOptions?: GpuOptions }),
    as: (id, kind, given) => models.as(id, kind, given as object),
    call: (id, method, args) => models.call(id, method, args as readonly unknown[]),
    steps: (id, method, args) => models.steps(id, method, args as readonly unknown[]),
    dispose: id => models.dispose(id),
  };
  new Peer(port, {
    async answer(name, args) {
      const call = Object.hasOwn(calls, name) ? calls[name] : undefined;
      if (!call) throw noSuch(name);
      return call(...args);
    },
    givesAway: ([, method]) => !KEPT.includes(String(method)),
    make,
  });
}

/** The models of a worker, by numbers. */
class Models {
  readonly #open: OpenModel;
  readonly #devices: Devices;
  readonly #models = new Map<number, { readonly model: Model; readonly release: () => void }>();
  #last = 0;

  constructor(open: OpenModel, devices: Devices) {
    [this.#open, this.#devices] = [open, devices];
  }

  async open(kind: ModelKind, source: unknown, given: { readonly gpuOptions?: GpuOptions }): Promise<unknown> {
    const { gpuOptions = {}, ...own } = await withSchedulers(given);
    const { gpu, release } = this.#devices.take(gpuOptions);
    try {
      return this.#keep(await this.#open(kind, source, { ...own, gpu: await gpu }), release);
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Another pipeline on the same model. */
  async as(id: unknown, kind: unknown, given: object): Promise<unknown> {
    const { model, release } = this.#entry(id);
    const pipeline = isGeneration(String(kind)) ? GENERATION[kind as GenerationKind] : undefined;
    if (!pipeline || !(model instanceof StableDiffusionModel)) throw noSuch(`as(${kind})`);
    const made = await model.as<Model, object>(pipeline, await withSchedulers(given));
    this.#entry(id); // it may have ended meanwhile
    // A page may ask for the same any number of times: it does not see that it shares it.
    const known = [...this.#models].find(([, one]) => one.release === release && isAlike(one.model, made));
    return known ? this.#told(known[0], known[1].model) : this.#keep(made, release);
  }

  #keep(model: Model, release: () => void): unknown {
    const id = ++this.#last;
    this.#models.set(id, { model, release });
    return this.#told(id, model);
  }

  #told(id: number, model: Model): unknown {
    return { id, facts: factsOf(model), memory: memoryOf(model) };
  }

  async call(id: unknown, method: unknown, args: readonly unknown[]): Promise<unknown> {
    const model = this.#named(id);
    const value = await methodOf(model, method)(...args);
    return { value, memory: memoryOf(model) };
  }

  steps(id: unknown, method: unknown, args: readonly unknown[]): unknown {
    const model = this.#named(id);
    const steps = methodOf(model, method)(...args) as AsyncGenerator<unknown, unknown>;
    return {
      next: answersOneAtATime(async (): Promise<unknown> => {
        const { done = false, value } = await steps.next();
        return { done, value, memory: memoryOf(model) };
      }),
      leave: async () => void (await steps.return(undefined)),
    };
  }

  dispose(id: unknown): void {
    const found = this.#models.get(Number(id));
    if (!found) return;
    // Pipelines on the same model end with it, and the device is given back once.
    for (const [other, { release }] of this.#models) if (release === found.release) this.#models.delete(other);
    found.model.dispose();
    found.release();
  }

  #named(id: unknown): Model {
    return this.#entry(id).model;
  }

  #entry(id: unknown): { readonly model: Model; readonly release: () => void } {
    const found = this.#models.get(Number(id));
    if (found) return found;
    throw new DeviceError({ op: 'worker', problem: 'the model was disposed', fix: 'Open it again.' });
  }
}

function methodOf(model: Model, name: unknown): (...args: readonly unknown[]) => unknown {
  const method: unknown = HIDDEN.includes(String(name)) ? undefined : Reflect.get(model, String(name));
  if (typeof method !== 'function') throw noSuch(String(name));
  return (...args) => method.apply(model, args);
}

function noSuch(name: string): PentimentoError {
  return new InputError({ op: 'worker', problem: 'there is no such call', received: name });
}

/** Whether two pipelines on the same model make the same of the same. */
function isAlike(a: Model, b: Model): boolean {
  const sampler = (model: Model): string => JSON.stringify(Reflect.get(model, 'scheduler'));
  return a.constructor === b.constructor && sampler(a) === sampler(b);
}

function memoryOf({ bytes, hostBytes, peakBytes }: Model): unknown {
  return { bytes, hostBytes, peakBytes };
}

/** What a page is told of a model once: its plain fields. */
function factsOf(model: Model): unknown {
  const { caps } = model.gpu;
  const field = (name: string): unknown => Reflect.get(model, name);
  const json = (name: string): unknown => (field(name) as { toJSON?(): unknown } | undefined)?.toJSON?.();
  return {
    ...{ dtype: model.dtype, caps, vaeScaleFactor: field('vaeScaleFactor'), defaultSize: field('defaultSize') },
    ...{ recommended: field('recommended'), config: field('config') },
    ...{ scheduler: json('scheduler'), inverseScheduler: json('inverseScheduler') },
  };
}

/** A scheduler whose class is loaded before the model is opened that it is for. */
class LateScheduler {
  readonly config: SchedulerJson;

  constructor(config: SchedulerJson) {
    this.config = config;
  }
}

/** Options with every scheduler there. @throws InputError for a class that is not built */
async function withSchedulers<O extends object>(options: O): Promise<O> {
  const entries = Object.entries(options).map(async ([name, value]): Promise<[string, unknown]> => {
    if (!(value instanceof LateScheduler)) return [name, value];
    const { schedulerFromConfig } = await loadPart('samplers', () => import('../schedulers/by-class-name.ts'));
    return [name, await schedulerFromConfig(value.config)];
  });
  return Object.fromEntries(await Promise.all(entries)) as O;
}

function make(note: unknown, unpacked: Readonly<Record<string, unknown>>, drawn: Drawn[]): unknown {
  const { $: kind } = note as Note;
  if (kind === 'generator') {
    const id = Number(unpacked['id']);
    const known = drawn.find(stream => stream.id === id)?.stream;
    if (known) return known; // the same stream twice
    const stream = new Generator(0);
    stream.setState(unpacked['state'] as GeneratorState);
    drawn.push({ id, stream: stream as unknown as Drawn['stream'] });
    return stream;
  }
  if (kind === 'scheduler') {
    const config = unpacked['config'] as SchedulerJson;
    const name = config['_class_name'];
    if (name === 'DDIMInverseScheduler') return DDIMInverseScheduler.fromConfig(config);
    return name === 'DDIMScheduler' ? DDIMScheduler.fromConfig(config) : new LateScheduler(config);
  }
  return folderFrom(kind, unpacked);
}
