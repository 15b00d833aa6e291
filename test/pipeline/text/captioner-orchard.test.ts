import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { readImage } from '../../../src/node/index.ts';
import type { BlipForConditionalGeneration } from '../../../src/pipeline/text/blip.ts';
import { openCaptioner } from '../../support/captioner.ts';
import { goldenPath } from '../../support/checkpoint.ts';
import { renewed } from '../../support/renewed.ts';

const samples = fileURLToPath(new URL('../../../models/orchard/samples/', import.meta.url));
const { captions } = JSON.parse(readFileSync(goldenPath('orchard/text.json'), 'utf8')) as {
  captions: Record<string, Record<string, { ids: number[]; text: string }>>;
};

test('captions were recorded for every sample picture', () => {
  const pictures = readdirSync(samples).filter(name => name.endsWith('.png'));
  expect(Object.keys(captions).sort()).toEqual(pictures.sort());
});

describe.each(['float32', 'float16'] as const)('the embedded captioner in %s', dtype => {
  let blip: BlipForConditionalGeneration;
  renewed(async () => {
    blip = await openCaptioner('models/orchard/blip', { dtype });
  });
  afterAll(() => blip.dispose());

  test.each(Object.keys(captions))('describes %s as recorded, with the prefix of the guide and without', async name => {
    const image = await readImage(`${samples}${name}`);
    for (const [prefix, { ids, text }] of Object.entries(captions[name] ?? {})) {
      const caption = await blip.caption(image, prefix || undefined, { maxNewTokens: 128 });
      expect(caption).toEqual({ text, ids });
    }
  });
});
