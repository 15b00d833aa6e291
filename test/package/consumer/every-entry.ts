// A strict program that uses every entry, and of the platform only what ECMAScript itself has.
import {
  DiffEditPipeline,
  type FolderSource,
  type GenerateOptions,
  Gpu,
  InputError,
  memorySource,
  type RgbImage,
  urlFolder,
} from 'pentimento';
import { DispatchList, type KernelCall, linear, readCaps } from 'pentimento/kernels';
import { directory, type NodeGpuOptions, readImage, requestGpu, saveImage } from 'pentimento/node';
import { type CacheListing, cachedFolder, hubUrlFolder, listCache, purge, StorageFullError } from 'pentimento/page';
import { openSafetensors, type SafetensorsSource, writeSafetensors } from 'pentimento/safetensors';
import { DDIMScheduler, Generator, type SchedulerConfig } from 'pentimento/schedulers';
import { type Heard, keepTuning, keptTuning, problemsOf, type TuningTable, tune } from 'pentimento/tuning';
import { createWorkerPipeline, type PortLike, startWorker, type WorkerPipeline } from 'pentimento/worker';

export async function edit(path: string): Promise<RgbImage | undefined> {
  const options: NodeGpuOptions = { powerPreference: 'low-power', adapterName: 'llvmpipe' };
  const gpu: Gpu = await requestGpu(options);
  const folder: FolderSource = await directory('model');
  const pipeline = await DiffEditPipeline.fromPretrained(folder, { gpu });
  const { images } = await pipeline.run({
    image: await readImage(path),
    sourcePrompt: 'a',
    targetPrompt: 'b',
    seed: 0,
  });
  const [first] = images;
  if (first) await saveImage('out.png', first);
  const bytes: number = gpu.caps.maxBufferBytes;
  gpu.device.destroy();
  return bytes > 0 ? first : undefined;
}

export async function header(): Promise<readonly number[] | undefined> {
  const bytes = writeSafetensors({ x: { dtype: 'F32', shape: [1], data: Float32Array.of(1) } });
  const file: SafetensorsSource = await openSafetensors(memorySource(bytes));
  return file.tensors.get('x')?.shape;
}

export const steps: number[] = [...new DDIMScheduler({ numTrainTimesteps: 1000 }).timesteps];
export const noise: Float32Array = new Generator(0).randn([2]);
export const given: Partial<SchedulerConfig> = {};
export const settings: GenerateOptions = { maxNewTokens: 3 };
export const folder: FolderSource = urlFolder('https://example.org/model');
export const kernels: readonly unknown[] = [DispatchList, linear, readCaps];
export const costs = (call: KernelCall): number => call.cost.flops;
export const refused = (error: unknown): string => (error instanceof InputError ? error.problem : '');

// What must not compile, so that no type above is `any`.
// @ts-expect-error a seed is a number
new Generator('0');
// @ts-expect-error a path is text
void readImage(1);
// @ts-expect-error a picture has pixels
void saveImage('out.png', { width: 1, height: 1 });
// @ts-expect-error no such option
void Gpu.request({ powerPreference: 'fast' });

// What is no part of the package does not leak out of it.
// @ts-expect-error a helper of messages
export type { show } from 'pentimento';
// @ts-expect-error a helper of the format
export type { checkRange } from 'pentimento/safetensors';
// @ts-expect-error numpy's function
export type { linspace } from 'pentimento/schedulers';

export async function keep(): Promise<FolderSource> {
  const listing: CacheListing = await listCache();
  for (const { name } of listing.models) if (name !== undefined) await purge({ name });
  const full = (error: unknown): number | undefined =>
    error instanceof StorageFullError ? error.bytes.available : undefined;
  return cachedFolder(hubUrlFolder('owner/name', { token: 'hf_x' }), {
    onProgress: ({ file, bytes }) => full(`${file} ${bytes}`),
  });
}

export async function afar(folder: FolderSource): Promise<readonly RgbImage[]> {
  const worker: PortLike = startWorker();
  const pipeline: WorkerPipeline = await createWorkerPipeline(folder, { worker, dtype: 'float16' });
  const image = { width: 1, height: 1, data: new Uint8Array(3) };
  for await (const { step, latents } of pipeline.runSteps({ image, sourcePrompt: 'a', targetPrompt: 'b' }))
    if (step > 0) await latents();
  return (await pipeline.run({ image, sourcePrompt: 'a', targetPrompt: 'b' })).images;
}

export async function tuned(folder: FolderSource): Promise<Gpu> {
  const gpu = await Gpu.request();
  const known: TuningTable | undefined = await keptTuning(gpu);
  if (known) return Gpu.request({ tuning: known });
  const problems: readonly Heard[] = await problemsOf(folder, { caps: gpu.caps });
  await keepTuning(await tune(gpu, problems, { onProgress: ({ done, of }) => void (done / of) }));
  return Gpu.request({ tuning: 'kept' });
}
