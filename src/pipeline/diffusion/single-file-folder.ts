/**
 * A single-file checkpoint of Stable Diffusion 1.x or 2.x (LDM's names, safetensors or .ckpt) as the folder that diffusers would save:
 * configs are written from the shapes, weight files are views of the one file. What opens a folder opens this.
 */
import { InputError, WeightsError } from '../../core/errors.ts';
import { checkFolder } from '../../core/kinds.ts';
import { checkNames, namesOf } from '../../core/known-names.ts';
import type { ByteSource, FolderSource, TensorSource } from '../../core/tensor-source.ts';
import { widened } from '../../core/widened-source.ts';
import { adapterBytes } from '../../io/adapter-file.ts';
import { safetensorsBytes } from '../../io/safetensors-bytes.ts';
import { memorySource, missingFile, readText } from '../../io/sources.ts';
import { viewTensors } from '../../io/tensor-view.ts';
import { urlSource } from '../../io/url-source.ts';
import { openWeightFile } from '../../io/weight-file.ts';
import { foreignCheckpoint } from '../../models/stable-diffusion/checkpoint-kind.ts';
import { type LdmCheckpoint, sortLdmTensors } from '../../models/stable-diffusion/ldm-checkpoint.ts';
import { singleFileConfigs } from './single-file-configs.ts';
import type { SingleFile, SingleFileOptions, SingleFileSource } from './single-file-options.ts';
import { singleFileTokenizer } from './single-file-tokenizer.ts';

const OP = 'openSingleFile';

const NAMES = namesOf<SingleFileOptions>({
  ...{ tokenizer: 1, config: 1, originalConfig: 1, predictionType: 1, extractEma: 1, onWarning: 1 },
});
const PREDICTIONS: readonly unknown[] = ['epsilon', 'v_prediction', 'sample', undefined];

/** `openSingleFile`. */
export async function singleFileFolder(source: SingleFileSource, options: SingleFileOptions): Promise<SingleFile> {
  checkOptions(options);
  const file = await openWeightFile(await bytesOf(source));
  try {
    return await asFolder(file, options);
  } catch (error) {
    await file.close?.();
    throw error;
  }
}

function checkOptions(options: SingleFileOptions): void {
  checkNames(OP, options, NAMES);
  for (const folder of [options.tokenizer, options.config]) if (folder !== undefined) checkFolder(folder, OP);
  const refuse = (path: string, expected: string, received: unknown): never => {
    throw new InputError({ op: OP, problem: `${path} makes no sense`, expected, received, path });
  };
  const { predictionType, extractEma, config, originalConfig } = options;
  if (config !== undefined && originalConfig !== undefined) {
    refuse('originalConfig', 'a training config or a folder of configs', 'both');
  }
  if (!PREDICTIONS.includes(predictionType)) {
    refuse('predictionType', 'epsilon, v_prediction or sample', predictionType);
  }
  if (extractEma !== undefined && typeof extractEma !== 'boolean') refuse('extractEma', 'a boolean', typeof extractEma);
  if (originalConfig !== undefined && (typeof originalConfig !== 'object' || originalConfig === null)) {
    refuse('originalConfig', 'the object that a YAML reader makes of the file', typeof originalConfig);
  }
}

async function bytesOf(source: SingleFileSource): Promise<ByteSource> {
  if (typeof source === 'string') {
    const inPage = typeof location !== 'undefined'; // what an address without a scheme is relative to
    if (inPage || /^(https?|data|blob):/i.test(source)) return urlSource(source);
    const fix = "Open it with await fileSource(path) of 'pentimento/node'.";
    throw new InputError({ op: OP, problem: 'not an address', received: source, fix });
  }
  if (source instanceof URL) return urlSource(source);
  return adapterBytes(OP, source);
}

async function asFolder(file: TensorSource, options: SingleFileOptions): Promise<SingleFile> {
  const tensors = widened(file); // before they are named: scales stand beside weights under LDM's names
  const { label } = tensors;
  const warn = options.onWarning ?? (message => console.warn(message));
  const foreign = foreignCheckpoint(tensors.tensors);
  if (foreign) {
    const expected = 'Stable Diffusion 1.x or 2.x in one file';
    throw new InputError({
      op: OP,
      problem: 'another kind of file',
      expected,
      received: foreign.what,
      path: label,
      fix: foreign.fix,
    });
  }
  const checkpoint = sortLdmTensors(tensors.tensors, options.extractEma === true);
  tellOf(checkpoint, options, label, warn);
  const texts = new Map<string, string>([
    ...(await singleFileConfigs(file, checkpoint, options, warn)),
    ...(await singleFileTokenizer(options, checkpoint.version, label)),
  ]);
  return new ViewedFile(tensors, checkpoint, texts);
}

/** What the user should know of the file's tensors, or must. */
function tellOf(checkpoint: LdmCheckpoint, o: SingleFileOptions, label: string, warn: (message: string) => void): void {
  const { foreign, surplus, averaged } = checkpoint;
  if (foreign.length > 0) {
    throw new WeightsError({
      op: OP,
      problem: `${foreign.length} tensors have no place in Stable Diffusion 1.x or 2.x: ${shortList(foreign)}`,
      path: label,
      fix: 'The file is of another architecture, which is not built.',
    });
  }
  if (surplus.length > 0)
    warn(`${label}: ${surplus.length} tensors have no use and are passed over: ${shortList(surplus)}`);
  if (averaged && o.extractEma !== true) {
    warn(
      `${label} holds the UNet as trained and its moving average (EMA); the first is taken; extractEma: true takes the other.`,
    );
  }
  if (!averaged && o.extractEma === true) {
    warn(
      `${label} holds no second UNet under model_ema: the only one is taken, which in "ema-only" and "ema-pruned" files is the average.`,
    );
  }
}

function shortList(names: readonly string[]): string {
  return names.length > 5 ? `${names.slice(0, 5).join(', ')} and ${names.length - 5} more` : names.join(', ');
}

/** diffusers' names of the weight files. */
const WEIGHTS = {
  'text_encoder/model.safetensors': 'textEncoder',
  'unet/diffusion_pytorch_model.safetensors': 'unet',
  'vae/diffusion_pytorch_model.safetensors': 'vae',
} as const;

/** The folder, and who still needs the file under it. */
class ViewedFile implements SingleFile {
  readonly folder: FolderSource;
  readonly paths: readonly string[];
  readonly #tensors: TensorSource;
  /** The opener and every weight file that was opened. */
  #users = 1;
  #closed = false;

  constructor(tensors: TensorSource, checkpoint: LdmCheckpoint, texts: ReadonlyMap<string, string>) {
    this.#tensors = tensors;
    const { label } = tensors;
    const views = new Map(
      Object.entries(WEIGHTS).map(([path, name]) => {
        return [path, viewTensors(tensors, checkpoint[name], `${label}/${path}`)] as const;
      }),
    );
    const bytes = async (path: string): Promise<ByteSource> => {
      const view = views.get(path);
      if (view) return this.#opened(safetensorsBytes(view, { format: 'pt' }));
      const text = texts.get(path);
      if (text === undefined) throw missingFile(label, path);
      return memorySource(new TextEncoder().encode(text), `${label}/${path}`);
    };
    this.paths = [...texts.keys(), ...views.keys()];
    this.folder = {
      label,
      has: async path => texts.has(path) || views.has(path),
      text: async path => texts.get(path) ?? readText(await bytes(path)),
      bytes,
    };
  }

  readonly close = async (): Promise<void> => {
    if (this.#closed) return;
    this.#closed = true;
    await this.#release();
  };

  #opened(bytes: ByteSource): ByteSource {
    if (this.#users === 0) {
      const fix = 'Open the checkpoint again.';
      throw new WeightsError({ op: 'read', problem: 'the file is closed', path: this.#tensors.label, fix });
    }
    this.#users++;
    let open = true;
    return {
      ...bytes,
      close: async () => {
        if (!open) return;
        open = false;
        await this.#release();
      },
    };
  }

  async #release(): Promise<void> {
    this.#users--;
    if (this.#users === 0) await this.#tensors.close?.();
  }
}
