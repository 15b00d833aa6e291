/** From a model folder or a single file to networks on the device, with the adapters that act from the beginning. */
import type { FolderSource } from '../../core/tensor-source.ts';
import { heedSignal } from '../../io/heed-signal.ts';
import { type OpenedStableDiffusion, openModel } from '../diffusion/open-model.ts';
import { openSingleFile } from '../diffusion/single-file.ts';
import type { SingleFileSource } from '../diffusion/single-file-options.ts';
import {
  type OpenOptions,
  openStableDiffusionFolder,
  type StableDiffusionFolder,
} from '../diffusion/stable-diffusion-folder.ts';
import { refuseVariant, SINGLE_FILE_OPTIONS } from '../diffusion/stable-diffusion-options.ts';
import { checkSwitch, warner } from '../runtime/model-options.ts';
import { type EditSchedulers, type EditSchedulersGiven, editSchedulers } from './folder-schedulers.ts';
import { type FromSingleFileOptions, OWN_OPTIONS, type PretrainedOptions } from './pretrained-options.ts';
import { readRecommended } from './read-recommended.ts';
import type { Recommended } from './recommended.ts';

/** The networks of a model, and what its folder recommends. */
interface OpenedFolder extends StableDiffusionFolder<EditSchedulers> {
  readonly recommended: Recommended | undefined;
}

/** What a pipeline is made of. */
export type OpenedModel = OpenedStableDiffusion<OpenedFolder>;

/** What `DiffEditPipeline.fromPretrained` opens. @throws as it does */
export function openFolder(source: FolderSource, options: PretrainedOptions): Promise<OpenedModel> {
  const op = 'DiffEditPipeline.fromPretrained';
  return open(op, OWN_OPTIONS, options, () => {
    const { variant, scheduler, inverseScheduler, signal } = options;
    const own = { variant, ...folderOptions({ scheduler, inverseScheduler, warn: warner(options) }) };
    return heedSignal(source, signal, async folder => {
      // First: nothing is open yet that would have to be closed where the signal fires.
      const recommended = await readRecommended(folder, op, own.warn);
      return { ...(await openStableDiffusionFolder(folder, own)), recommended };
    });
  });
}

/** What `DiffEditPipeline.fromSingleFile` opens. @throws as it does */
export function openFile(source: SingleFileSource, options: FromSingleFileOptions): Promise<OpenedModel> {
  const op = 'DiffEditPipeline.fromSingleFile';
  return open(op, [...OWN_OPTIONS, ...SINGLE_FILE_OPTIONS], options, async () => {
    refuseVariant(op, options);
    options.signal?.throwIfAborted();
    const { tokenizer, config, originalConfig, predictionType, extractEma, scheduler, inverseScheduler } = options;
    const warn = warner(options);
    const own = { tokenizer, config, originalConfig, predictionType, extractEma, onWarning: warn };
    const file = await openSingleFile(source, own);
    try {
      return {
        ...(await openStableDiffusionFolder(file.folder, folderOptions({ scheduler, inverseScheduler, warn }))),
        recommended: undefined,
      };
    } finally {
      await file.close();
    }
  });
}

/** How a folder is opened for DiffEdit. A single file is one too, by the name of a folder's method. */
function folderOptions(given: EditSchedulersGiven): OpenOptions<EditSchedulers> {
  const op = 'DiffEditPipeline.fromPretrained';
  const hasScheduler = given.scheduler !== undefined;
  return { op, hasScheduler, warn: given.warn, openSchedulers: configs => editSchedulers(op, configs, given) };
}

function open(
  op: string,
  ownOptions: readonly string[],
  options: PretrainedOptions,
  openNetworks: () => Promise<OpenedFolder>,
): Promise<OpenedModel> {
  return openModel(op, { op: 'DiffEditPipeline', noun: 'pipeline', ownOptions }, options, async () => {
    checkSwitch(op, 'mendQuirks', options.mendQuirks);
    return openNetworks();
  });
}
