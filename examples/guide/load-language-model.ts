/** The language model that writes prompts: Flan-T5. */
import { type Gpu, T5ForConditionalGeneration } from 'pentimento';
import { directory } from 'pentimento/node';

/** @param path such as a download of google/flan-t5-large */
export async function loadLanguageModel(gpu: Gpu, path = 'models/orchard/t5'): Promise<T5ForConditionalGeneration> {
  return T5ForConditionalGeneration.fromPretrained(await directory(path), { gpu });
}
