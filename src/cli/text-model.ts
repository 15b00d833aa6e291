/** What `caption` and `prompts` share: a device, one model on it, and the result. */

import type { FolderSource } from '../core/tensor-source.ts';
import type { Gpu } from '../gpu/device.ts';
import type { ProgressEvent } from '../pipeline/runtime/progress.ts';
import { type Outside, print, type Result, type Timed } from './command.ts';
import { openDevice, tuningReport } from './device.ts';
import { measured } from './measured.ts';
import { adapterName, type Family, findModel } from './model.ts';
import type { DeviceOptions, HubOptions } from './options.ts';
import { createProgress, type Progress } from './progress.ts';

/** What a model is opened with. */
export interface Opening {
  readonly gpu: Gpu;
  readonly dtype: 'float32' | 'float16';
  readonly signal: AbortSignal;
  readonly onProgress: (event: ProgressEvent) => void;
  readonly onWarning: (message: string) => void;
  /** A call that is refused has read no weights. */
  readonly loadWhenNeeded: true;
}

/** Opens a model of the family, runs `work` with it, prints the result, and frees the device whatever happens. */
export async function withTextModel<M extends { readonly peakBytes: number; dispose(): void }>(
  family: Family,
  asked: string | undefined,
  o: DeviceOptions & HubOptions,
  outside: Outside,
  open: (folder: FolderSource, options: Opening) => Promise<M>,
  work: (
    model: M,
    progress: Progress,
  ) => Promise<Omit<Result, 'files'> & Timed & { readonly lines: readonly string[] }>,
): Promise<void> {
  const progress = createProgress(outside.stderr);
  const { signal } = outside;
  let gpu: Gpu | undefined;
  let loaded: M | undefined;
  try {
    const { folder, model } = await findModel(family, asked, o, progress, signal);
    gpu = await openDevice(o, progress.note);
    const { note: onWarning } = progress;
    const onProgress = (e: ProgressEvent): void => progress.report(e.phase === 'text' ? { ...e, phase: 'write' } : e);
    loaded = await open(folder, { gpu, dtype: o.dtype, signal, onProgress, onWarning, loadWhenNeeded: true });
    const { lines, ...result } = await work(loaded, progress);
    progress.stop();
    signal.throwIfAborted();
    const memory = measured(loaded.peakBytes, progress, result.timingsMs);
    const more = { ...memory, model, device: adapterName(gpu), tuning: tuningReport(gpu), dtype: o.dtype };
    if (o.json) print(outside, true, { files: {}, ...result, ...more });
    else for (const line of lines) outside.stdout.write(`${line}\n`);
  } finally {
    progress.stop();
    loaded?.dispose();
    gpu?.dispose();
  }
}
