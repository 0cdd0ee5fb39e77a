/** Entry of the home page. */
export {};
