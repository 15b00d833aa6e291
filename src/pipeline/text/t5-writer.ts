/** What writes the answers of T5. It is loaded with the first model: generation is most of it. */
import type { T5Model } from '../../models/t5/index.ts';
import type { DeviceModel } from '../runtime/device-model.ts';
import { EncodedTexts } from './t5-encoded-texts.ts';
import type { EncoderInput } from './t5-masks.ts';
import { TextWriter, type Writer } from './text-writer.ts';

/** The writer of a model. */
export function t5Writer(device: DeviceModel<{ readonly t5: T5Model }>): Writer<EncoderInput> {
  return new TextWriter<T5Model, EncoderInput, EncodedTexts>(device, (input, t5) => ({
    key: EncodedTexts.keyOf(input),
    make: ({ memory }) => EncodedTexts.create(memory, t5.model, input),
    encode: texts => texts.encode(input),
  }));
}
