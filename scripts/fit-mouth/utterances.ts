import type { Random } from './random.ts';

/** Text, voice and style for espeak-ng. */
export interface Utterance {
  readonly voice: string;
  readonly wordsPerMinute: number;
  /** 0–100, as in espeak-ng. */
  readonly pitch: number;
  readonly text: string;
}

type Words = readonly [string, ...string[]];

const englishVoices: Words = [
  'en-us',
  'en-us',
  'en-us',
  'en-gb-x-rp',
  'en-gb-scotland',
  'en-gb-x-rp',
  'en-029',
  'en-gb-x-gbcwmd',
];
const otherVoices: Words = ['de', 'fr', 'es', 'it', 'nl', 'pt', 'pl', 'sv', 'fi', 'tr', 'id', 'el'];
const variants: Words = [
  '',
  '+m1',
  '+m2',
  '+m3',
  '+m4',
  '+m5',
  '+m7',
  '+m8',
  '+f1',
  '+f2',
  '+f3',
  '+f4',
  '+Andy',
  '+Annie',
  '+Gene',
  '+Lee',
  '+anika',
  '+steph',
  '+Alicia',
  '+david',
];

const things: Words = [
  'baker',
  'river',
  'garden',
  'paper boat',
  'summer',
  'camera',
  'moon',
  'brother',
  'library',
  'pilot',
  'blue lamp',
  'apple',
  'father',
  'village',
  'market',
  'ship',
  'path',
  'letter',
  'bottle',
  'picture',
  'hammer',
  'school',
  'palm tree',
  'number',
  'football',
  'memory',
  'problem',
  'kitchen',
  'voice',
  'beach',
  'mountain',
  'tomato',
  'bedroom',
  'people',
  'pepper',
  'computer',
  'spoon',
  'car',
  'cheese',
  'goose',
  'calm pond',
  'zebra',
  'thumb',
  'jacket',
  'yellow vase',
  'wheel',
  'rabbit',
  'music box',
];
const deeds: Words = [
  'keeps',
  'moved',
  'brought',
  'might become',
  'has never seen',
  'opened',
  'always meets',
  'stopped',
  'could repair',
  'painted',
  'climbs over',
  'believes in',
  'was part of',
  'shook',
  'will choose',
  'forgot',
  'jumped past',
  'measures',
  'throws away',
  'asked about',
];
const manners: Words = [
  'big',
  'small',
  'warm',
  'happy',
  'deep green',
  'impossible',
  'cheap',
  'broad',
  'simple',
  'far too large',
  'smooth',
  'hard',
  'amber',
  'complete',
  'beautiful',
  'usual',
  'shiny',
  'thick',
  'remarkable',
  'proper',
  'loud',
  'good',
  'empty',
  'brown',
];
const openings: Words = [
  '',
  'Maybe ',
  'After all, ',
  'Look, ',
  'Before we part, ',
  'In April, ',
  'Yes, ',
  'Probably ',
  'From here on, ',
  'You see, ',
  'Oh, ',
];
const endings: Words = [
  '',
  ' at half past two',
  ' by the sea',
  ' in the park',
  ', of course',
  ' every morning',
  ' with you and me',
  ' on the moon',
  ', I suppose',
  ' for a moment',
  ' without a map',
  ', but not too soon',
  ' this afternoon',
];
const onsets: Words = [
  'p',
  'b',
  'm',
  'p',
  'b',
  'm',
  't',
  'd',
  'k',
  'g',
  's',
  'f',
  'v',
  'l',
  'r',
  'n',
  'w',
  'j',
  'ch',
  'sh',
  'h',
  '',
];
const vowels: Words = ['a', 'a', 'e', 'i', 'o', 'u', 'oo', 'ee', 'ai', 'au'];
const codas: Words = ['', '', '', '', 'n', 'm', 's', 'l', 'p', 't'];

/** Returns a random utterance of about eight seconds, never with a voice of `heldOutUtterances`. */
export function randomUtterance(random: Random): Utterance {
  const english = random.chance(0.75);
  const sentences = Array.from({ length: english ? 3 : 4 }, () =>
    english && random.chance(0.8) ? sentence(random) : madeUpWords(random),
  );
  return {
    voice: random.pick(english ? englishVoices : otherVoices) + random.pick(variants),
    wordsPerMinute: Math.round(random.between(120, 215)),
    pitch: Math.round(random.between(20, 80)),
    text: sentences.join(' '),
  };
}

function sentence(random: Random): string {
  const article = random.pick(['the', 'a', 'my', 'our', 'that', 'some', 'your']);
  return (
    `${random.pick(openings)}${article} ${random.pick(manners)} ${random.pick(things)} ${random.pick(deeds)} ` +
    `the ${random.chance(0.5) ? `${random.pick(manners)} ` : ''}${random.pick(things)}${random.pick(endings)}.`
  );
}

/** Random syllables, for combinations of sounds that the sentences above lack. */
function madeUpWords(random: Random): string {
  const word = (): string =>
    Array.from(
      { length: random.chance(0.5) ? 2 : 3 },
      () => random.pick(onsets) + random.pick(vowels) + random.pick(codas),
    ).join('');
  return `${Array.from({ length: 5 }, word).join(' ')}.`;
}

/** Test set: voices and sentences that are never used for fitting. */
export const heldOutUtterances: readonly [Utterance, ...Utterance[]] = [
  {
    voice: 'en-us+m6',
    wordsPerMinute: 160,
    pitch: 45,
    text: 'Papa put a map beside the moon. She made me promise to leave the farm at noon.',
  },
  {
    voice: 'en-gb-x-gbclan+f5',
    wordsPerMinute: 150,
    pitch: 55,
    text: 'Would you be able to keep a spare room for him? Bob and Pam were on a bus to the opera, reading poems about bees.',
  },
  {
    voice: 'en-us+Mario',
    wordsPerMinute: 170,
    pitch: 40,
    text: 'People who compose at the piano improve their mood. Calm members of the team sleep, drum, or stroll barefoot on balmy evenings.',
  },
  {
    voice: 'en-gb-x-rp+linda',
    wordsPerMinute: 145,
    pitch: 60,
    text: 'Please remember the blueberry jam. A plumber in a gray jumper could not stop the pump, so Grandma phoned the police.',
  },
  {
    voice: 'en-us+m6',
    wordsPerMinute: 155,
    pitch: 50,
    text: 'Paul saw a hawk fall in August. My father parked the car at the spa. The duck must run under the bus. We need new shoes, too.',
  },
  {
    voice: 'en-gb-x-gbclan+f5',
    wordsPerMinute: 165,
    pitch: 50,
    text: 'Aunt Martha asked for half a glass. All the tall boys walk before dawn. Some young cousins love mud. I like to ride by night, and how loud the crowd is now.',
  },
];
