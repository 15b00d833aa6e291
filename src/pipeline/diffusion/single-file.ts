/**
 * The way into checkpoints of Stable Diffusion 1.x and 2.x that are one file. How they become folders is in single-file-folder.ts, which
 * is loaded with the first file.
 */
import { loadPart } from '../../core/load-part.ts';
import type { SingleFile, SingleFileOptions, SingleFileSource } from './single-file-options.ts';

/**
 * Opens a single-file checkpoint. Only its header is read; tensors are read when they are loaded, straight from the file.
 * @param source the file; closed by the result's `close`, and here when it is refused
 * @param options vocabulary, prediction type and other things that the file does not say
 * @returns the file as a model folder
 * @throws InputError for another kind of file, named, and for what the options lack; WeightsError for damaged files and missing tensors
 * @see diffusers FromSingleFileMixin.from_single_file
 */
export async function openSingleFile(source: SingleFileSource, options: SingleFileOptions = {}): Promise<SingleFile> {
  const { singleFileFolder } = await loadPart(
    'the reader of checkpoints in one file',
    () => import('./single-file-folder.ts'),
  );
  return singleFileFolder(source, options);
}
