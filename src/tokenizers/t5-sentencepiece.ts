/** T5's tokenizer made of spiece.model, in either of two ways; loaded for folders without tokenizer.json and when asked for. */
import type { JsonObject, TokenizerFiles } from './files.ts';
import { PackageEngine } from './package-engine.ts';
import { SentencePieceEngine } from './sentencepiece-engine.ts';
import { parseSentencePieceModel, type SentencePieceModel } from './sentencepiece-model.ts';
import { numberTokens, type SpecialTokens } from './special-tokens.ts';
import { SPACE, Unigram } from './unigram.ts';

const EXTRA_IDS = 100;

/**
 * Reads spiece.model.
 * @param mode the steps of transformers' fast class, or those of the SentencePiece library
 * @throws InputError for a damaged file
 */
export async function sentencePieceEngine(
  files: TokenizerFiles,
  special: SpecialTokens,
  mode: 'fast' | 'sentencepiece',
): Promise<PackageEngine | SentencePieceEngine> {
  const path = `${files.label}/spiece.model`;
  const model = parseSentencePieceModel(await files.bytes('spiece.model'), path);
  const tokens = withExtraIds(special, model);
  const legacy = special.config['legacy'] !== false;
  if (mode === 'sentencepiece') {
    return new SentencePieceEngine(new Unigram(model, path), model.pieces.length, tokens, legacy);
  }
  return new PackageEngine(toTokenizerJson(model, tokens, legacy), files, 'spiece.model');
}

/** The special tokens of the folder and its extra ids, numbered. */
function withExtraIds(special: SpecialTokens, model: SentencePieceModel): ReturnType<typeof numberTokens> {
  const given = special.config['extra_ids'];
  const count = typeof given === 'number' ? given : EXTRA_IDS;
  const named = new Map(special.tokens.map(token => [token.content, token]));
  const extra = Array.from({ length: count }, (_, i) => {
    const content = `<extra_id_${i}>`;
    const flags = { lstrip: true, rstrip: true, normalized: false, single_word: false, special: true };
    const id = model.pieces.length + count - 1 - i;
    named.delete(content);
    return { ...flags, ...special.tokens.find(token => token.content === content), content, id, special: true };
  });
  const ids = new Map(model.pieces.map((piece, id) => [piece.text, id]));
  return numberTokens([...named.values(), ...extra], content => ids.get(content), model.pieces.length + count);
}

/** What transformers turns a spiece.model into for its fast class. */
function toTokenizerJson(
  model: SentencePieceModel,
  tokens: ReturnType<typeof numberTokens>,
  legacy: boolean,
): JsonObject {
  const metaspace = { type: 'Metaspace', replacement: SPACE, prepend_scheme: legacy ? 'always' : 'first', split: true };
  const vocab: [string, number][] = model.pieces.map(piece => [piece.text, piece.score]);
  for (const token of [...tokens].sort((a, b) => a.id - b.id)) {
    if (token.id >= model.pieces.length) vocab[token.id] = [token.content, 0];
  }
  const map = { type: 'Precompiled', precompiled_charsmap: toBase64(model.charMap) };
  return {
    added_tokens: tokens,
    normalizer: {
      type: 'Sequence',
      normalizers: [
        ...(model.charMap.length > 0 ? [map] : []),
        { type: 'Strip', strip_left: false, strip_right: true },
        { type: 'Replace', pattern: { Regex: ' {2,}' }, content: SPACE },
      ],
    },
    pre_tokenizer: metaspace,
    decoder: metaspace,
    model: { type: 'Unigram', unk_id: model.unkId, vocab },
  };
}

function toBase64(bytes: Uint8Array): string {
  let binary = '';
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}
