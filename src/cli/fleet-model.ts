/** The models of a fleet: what a worker opens and a submitter names, by one key. */
import { InputError } from '../core/errors.ts';
import type { ByteSource, FolderSource } from '../core/tensor-source.ts';
import { EMBEDDING_FILES } from '../io/textual-inversion.ts';
import { LORA_FILES } from '../pipeline/diffusion/lora-file.ts';
import { hashOf, modelKey } from '../queue/model-key.ts';
import type { FleetModel } from '../queue/models.ts';
import { openEmbeddings, openLoras } from './adapters.ts';
import { type FoundModel, findModel, loadPipeline } from './model.ts';
import type { ModelOptions } from './options.ts';
import type { Progress } from './progress.ts';

/** A model that was found, and the key by which its jobs know it. */
export interface KeyedModel extends FoundModel {
  readonly key: string;
}

/**
 * Finds a model and reads all of it once for its key.
 * @throws as findModel; WeightsError for files that cannot be read; the signal's reason
 */
export async function keyedModel(o: ModelOptions, progress: Progress, signal: AbortSignal): Promise<KeyedModel> {
  const found = await findModel('stable-diffusion', o.model, o, progress, signal);
  const onProgress = (bytes: number, of: number): void => progress.bytes('reading weights', bytes, of);
  const settings = {
    ...{ variant: o.variant, dtype: o.dtype, mendQuirks: o.mendQuirks === true },
    vaeTiles: o.vaeTile ?? o.enableVaeTiling === true,
    loras: await lorasOf(o, signal),
    embeddings: await embeddingsOf(o, signal),
  };
  return { ...found, key: await modelKey(found.folder, settings, { signal, onProgress }) };
}

/**
 * A model for a worker.
 * @throws as keyedModel
 */
export async function fleetModel(o: ModelOptions, progress: Progress, outside: AbortSignal): Promise<FleetModel> {
  const { key, model, close } = await keyedModel(o, progress, outside);
  await close?.();
  return {
    ...{ key, id: model },
    async open({ signal }) {
      const { pipe, device, dispose } = await loadPipeline(o, progress, signal);
      return {
        ...{ editor: pipe, device, dispose, offload: () => pipe.enableModelCpuOffload() },
        get bytes() {
          return pipe.bytes;
        },
        get peakBytes() {
          return pipe.peakBytes;
        },
      };
    },
  };
}

async function lorasOf(o: ModelOptions, signal: AbortSignal): Promise<{ sha256: string; scale: number }[]> {
  const opened = await openLoras(o, signal);
  return hashes(
    opened.filter(({ scale }) => scale !== 0),
    LORA_FILES,
    signal,
    ({ scale = 1 }) => ({ scale }),
  );
}

async function embeddingsOf(o: ModelOptions, signal: AbortSignal): Promise<{ sha256: string; token: string | null }[]> {
  const opened = await openEmbeddings(o, signal);
  const tokenOf = ({ token }: { readonly token?: string | undefined }): string | null => token ?? null;
  return hashes(opened, EMBEDDING_FILES, signal, each => ({ token: tokenOf(each as { readonly token?: string }) }));
}

async function hashes<T extends { readonly source: unknown }, M extends object>(
  opened: readonly T[],
  names: readonly string[],
  signal: AbortSignal,
  more: (each: T) => M,
): Promise<({ sha256: string } & M)[]> {
  const all: ({ sha256: string } & M)[] = [];
  for (const each of opened) {
    const source = await fileOf(each.source as ByteSource | FolderSource, names);
    all.push({ sha256: await hashOf(source, { signal }), ...more(each) });
    await source.close?.();
  }
  return all;
}

/** The file, or the one that is taken from a folder. */
async function fileOf(source: ByteSource | FolderSource, names: readonly string[]): Promise<ByteSource> {
  if (!('bytes' in source)) return source;
  for (const name of names) if (await source.has(name)) return source.bytes(name);
  throw new InputError({
    op: 'model',
    problem: 'a folder without an adapter',
    expected: names.join(' or '),
    path: source.label,
  });
}
