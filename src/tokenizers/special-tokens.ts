/** Which tokens are special in a folder, and how they are found in a text. */
import type { JsonObject, TokenizerFiles } from './files.ts';
import { isObject } from './files.ts';

/** The parts that a special token can play. */
type Role = 'bos' | 'eos' | 'unk' | 'sep' | 'pad' | 'cls' | 'mask';

/** A token that is cut out of the text before the model's own splitting. */
export interface AddedToken {
  readonly content: string;
  /** Swallows the white space before, after. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  /** Sought after normalisation (and so in any case), instead of before it. */
  readonly normalized: boolean;
  readonly single_word: boolean;
  readonly special: boolean;
}

/** As the fast tokenizers of transformers hand them to their engine. */
export interface NumberedToken extends AddedToken {
  readonly id: number;
}

/** The special tokens of one folder. */
export interface SpecialTokens {
  readonly config: JsonObject;
  readonly roles: Partial<Record<Role, string>>;
  /** All special and added tokens in the order in which new ids are given out; `id` where the folder fixes it. */
  readonly tokens: readonly (AddedToken & { readonly id?: number })[];
}

const ROLES: readonly Role[] = ['bos', 'eos', 'unk', 'sep', 'pad', 'cls', 'mask'];

/**
 * Reads the special tokens of a folder.
 * A config that lists its added tokens decides alone. In older folders special_tokens_map.json has the last word, and
 * so Stable Diffusion 2.x pads with "!", whatever its tokenizer_config.json says.
 * @param files the folder
 * @param defaults tokens of the model's class, for roles that no file names
 * @param normalized roles whose tokens, where a file gives no settings for them, are sought after normalisation
 * @returns config, role of each token, and how to find each in a text
 * @see transformers `PreTrainedTokenizerBase._from_pretrained`
 */
export async function readSpecialTokens(
  files: TokenizerFiles,
  defaults: Partial<Record<Role, string>>,
  normalized: readonly Role[] = [],
): Promise<SpecialTokens> {
  const config = await files.jsonIfThere('tokenizer_config.json');
  const listed = config['added_tokens_decoder'];
  const legacy = !isObject(listed);
  const map = legacy ? await files.jsonIfThere('special_tokens_map.json') : {};
  const known = new Map<string, AddedToken & { id?: number }>();
  for (const [id, settings] of Object.entries(legacy ? {} : listed)) {
    const token = addedToken(settings, false);
    if (token) known.set(token.content, { ...token, id: Number(id) });
  }
  const roles: Partial<Record<Role, string>> = {};
  for (const role of ROLES) {
    const key = `${role}_token`;
    const settings = map[key] ?? config[key] ?? defaults[role];
    const token = addedToken(settings, true, typeof settings === 'string' && normalized.includes(role));
    if (!token) continue;
    roles[role] = token.content;
    // The first place that names a token decides how it is found.
    known.set(token.content, { ...(known.get(token.content) ?? token), special: true });
  }
  const additional = map['additional_special_tokens'] ?? config['additional_special_tokens'];
  for (const settings of Array.isArray(additional) ? additional : []) {
    const token = addedToken(settings, true);
    if (token && !known.has(token.content)) known.set(token.content, token);
  }
  for (const [content, id] of Object.entries(legacy ? await files.jsonIfThere('added_tokens.json') : {})) {
    const token = known.get(content) ?? addedToken(content, false);
    if (token && typeof id === 'number') known.set(content, { ...token, id });
  }
  return { config, roles, tokens: [...known.values()] };
}

/**
 * Gives every token its id: the folder's own, that of the vocabulary, or the next free one.
 * @param tokens in the order in which free ids are given out
 * @param idOf ids of the vocabulary
 * @param next first free id
 */
export function numberTokens(
  tokens: readonly (AddedToken & { readonly id?: number })[],
  idOf: (content: string) => number | undefined,
  next: number,
): NumberedToken[] {
  let free = Math.max(next, ...tokens.map(token => (token.id ?? -1) + 1));
  return tokens.map(token => {
    const id = token.id ?? idOf(token.content) ?? free++;
    return { ...token, id };
  });
}

/** A token from a string or a settings object of the JSON files; undefined for anything else. */
export function addedToken(settings: unknown, special: boolean, normalized?: boolean): AddedToken | undefined {
  const given: JsonObject = isObject(settings) ? settings : { content: settings };
  const content = given['content'];
  if (typeof content !== 'string' || content === '') return undefined;
  const flag = (name: string, otherwise: boolean): boolean => {
    const value = given[name];
    return typeof value === 'boolean' ? value : otherwise;
  };
  const isSpecial = special || flag('special', false);
  return {
    content,
    lstrip: flag('lstrip', false),
    rstrip: flag('rstrip', false),
    normalized: flag('normalized', normalized || !isSpecial),
    single_word: flag('single_word', false),
    special: isSpecial,
  };
}
