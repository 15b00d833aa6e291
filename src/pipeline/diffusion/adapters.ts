/** What changes a model without its folder: LoRA adapters, and words of textual inversion. */

import { InputError } from '../../core/errors.ts';
import { checkNames, namesOf } from '../../core/known-names.ts';
import { loadPart } from '../../core/load-part.ts';
import type { AbortSignalLike } from '../../core/platform.ts';
import { closeUnread } from '../../io/sources.ts';
import type { ClipTokenizer } from '../../tokenizers/index.ts';
import type { Networks } from '../runtime/network.ts';
import { LoraAdapters, type LoraInput } from './lora-adapters.ts';
import type { StableDiffusionNetworks } from './stable-diffusion-folder.ts';
import { TextualInversions } from './textual-inversion.ts';
import type { EmbeddingInput } from './textual-inversion-sources.ts';

/** What is there from the beginning. */
export interface FirstAdapters {
  /** LoRA adapters that act, all together. */
  readonly loras?: readonly LoraInput[] | undefined;
  /** Embeddings of textual inversion. */
  readonly embeddings?: readonly EmbeddingInput[] | undefined;
  /** Ends the loading with its reason. */
  readonly signal?: AbortSignalLike | undefined;
}

const LORA = namesOf<LoraInput>({ source: 1, adapterName: 1, scale: 1 });
const EMBEDDING = namesOf<EmbeddingInput>({ source: 1, token: 1 });

/** The adapters of one pipeline. */
export class Adapters {
  /** Merged into the weights of UNet and text encoder. */
  readonly loras: LoraAdapters;
  /** Rows of the text encoder's table. */
  readonly inversions: TextualInversions;

  constructor(networks: Networks<StableDiffusionNetworks>, tokenizer: ClipTokenizer, warn: (message: string) => void) {
    this.loras = new LoraAdapters(networks, warn);
    this.inversions = new TextualInversions(networks.textEncoder, tokenizer);
  }

  /** Loads everything, before any weights are read. @throws as the loading of each does */
  async loadAll(op: string, { loras = [], embeddings = [], signal }: FirstAdapters): Promise<void> {
    const unread = new Set(sourcesOf({ loras, embeddings }));
    try {
      checkList(op, 'embeddings', embeddings, EMBEDDING);
      checkList(op, 'loras', loras, LORA);
      for (const { source, token } of embeddings) {
        const { readInversions } = await loadPart(
          'the reader of textual inversion',
          () => import('./textual-inversion-sources.ts'),
        );
        unread.delete(source); // what is refused there is closed there
        this.inversions.load(await readInversions(source, { token, signal }));
      }
      for (const { source } of loras) unread.delete(source);
      await this.loras.loadAll(op, loras, signal);
    } catch (error) {
      await closeUnread(unread);
      throw error;
    }
  }

  /** Closes the files that stay open. */
  close(): void {
    this.loras.close();
  }
}

/** What was given as adapters, whatever it is. */
export function sourcesOf(options: FirstAdapters): unknown[] {
  const { loras, embeddings } = Object(options) as FirstAdapters; // refused elsewhere where they are none
  const listed = [loras, embeddings].flatMap((list: unknown): unknown[] => (Array.isArray(list) ? list : []));
  return listed.map(one => (Object(one) as { readonly source?: unknown }).source);
}

/** @throws InputError for what is no array of objects, and for names that such objects do not have */
function checkList(op: string, path: string, list: unknown, names: ReturnType<typeof namesOf>): void {
  const wrong = Array.isArray(list) ? list.find(one => typeof one !== 'object' || one === null) : list;
  if (!Array.isArray(list) || list.some(one => typeof one !== 'object' || one === null)) {
    const [problem, expected] = ['not a list of adapters', 'an array such as [{ source: file }]'];
    throw new InputError({ op, problem, expected, received: wrong, path });
  }
  for (const one of list) checkNames(op, one, names);
}
