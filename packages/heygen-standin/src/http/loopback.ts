/** Whether a URL leads to this machine; the stand-in calls no other. */
export function isLoopbackUrl(url: string): boolean {
  return URL.canParse(url) && /^(127\.\d+\.\d+\.\d+|localhost|\[::1\])$/.test(new URL(url).hostname);
}
