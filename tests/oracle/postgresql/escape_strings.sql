CREATE TABLE strings (id serial, s text);
INSERT INTO strings (s) VALUES (E'it\'s; here'), (e'\\'), ('C:\'), (E'\\\';'), (E'a''b\';'), (E'');
INSERT INTO strings (s) VALUES ('one; '
    'two\'
  'three;'), (E'one\';'
    '\'; two'
    -- a comment between them; isn't it
    '\\');
INSERT INTO strings (s) SELECT name'C:\' UNION ALL SELECT name'it''s;';
INSERT INTO strings (s) VALUES (U&'\0061\\;\+00003b'), (U&'!0061;!!' UESCAPE '!'), (N'n;'), (B'101'::text), (X'1f'::text);
INSERT INTO strings (s) VALUES (E'\x3b\073\u003b\U0000003b'), (E'line\nline'), ('%s %% :name ? \n $1');
-- Without parentheses, in which no semicolon ends anything
CREATE TABLE bare AS SELECT E'a\';' AS a, E'it\'s;' AS b, U&'\0061\\;' AS c, 'C:\' AS d, e'''\';' AS e, N';' AS f, name'\' AS g UNION ALL
SELECT 'x;', '\', ';\', E'\\', '''', '\;', '\';
