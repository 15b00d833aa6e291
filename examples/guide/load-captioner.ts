/** The model that says what a picture shows: BLIP. */
import { BlipForConditionalGeneration, type Gpu } from 'pentimento';
import { directory } from 'pentimento/node';

/** @param path such as a download of Salesforce/blip-image-captioning-base */
export async function loadCaptioner(gpu: Gpu, path = 'models/orchard/blip'): Promise<BlipForConditionalGeneration> {
  return BlipForConditionalGeneration.fromPretrained(await directory(path), { gpu });
}
