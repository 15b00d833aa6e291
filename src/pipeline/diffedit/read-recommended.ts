/** Looks for a model's recommended settings; their reader is loaded where there are some. */

import { PentimentoError } from '../../core/errors.ts';
import { checkFolder } from '../../core/kinds.ts';
import { loadPart } from '../../core/load-part.ts';
import type { FolderSource } from '../../core/tensor-source.ts';
import { RECOMMENDED_FILE, type Recommended } from './recommended.ts';

/**
 * What a model folder recommends.
 * @param op who asks, for the message about what is no folder
 * @param warn told of a file that cannot be used, and of each field that is left out
 * @returns undefined without such a file, or with one that cannot be used
 * @throws InputError for what is no folder; the signal's reason. A file that cannot be read hinders nobody
 */
export async function readRecommended(
  folder: FolderSource,
  op: string,
  warn: (message: string) => void,
): Promise<Recommended | undefined> {
  checkFolder(folder, op);
  if (!(await has(folder))) return undefined;
  const { recommendedFrom } = await loadPart('the reader of pentimento.json', () => import('./recommended-file.ts'));
  return recommendedFrom(folder, warn);
}

/** A server that hides or fails on a file that need not be there has none; what else is wrong with it shows at the next file. */
async function has(folder: FolderSource): Promise<boolean> {
  try {
    return await folder.has(RECOMMENDED_FILE);
  } catch (error) {
    if (error instanceof PentimentoError) return false;
    throw error;
  }
}
