CREATE TABLE t (
    id INT UNSIGNED NOT NULL AUTO_INCREMENT COMMENT 'it''s; "the" key \\ here',
    a DECIMAL(10, 2) NOT NULL DEFAULT (1 + (2 * 3)), b VARCHAR(20) AS (CASE WHEN a > 5 THEN 'big;' ELSE 'small' END) PERSISTENT, f TEXT,
    c VARCHAR(20) GENERATED ALWAYS AS (CONCAT(a, ';')) VIRTUAL INVISIBLE, e ENUM('a;', 'b''c', '"', '`') DEFAULT 'b''c', s SET('x;', 'y') NOT NULL DEFAULT 'x;,y',
    j JSON DEFAULT '{"k;": [1]}', at TIMESTAMP NOT NULL DEFAULT '2024-01-01 00:00:00', bits BIT(4) DEFAULT b'0101', bin VARBINARY(4) DEFAULT x'3b27',
    PRIMARY KEY (id), UNIQUE KEY `u;` (a, b) USING BTREE COMMENT 'index; comment', FULLTEXT KEY (f), CONSTRAINT `a; positive` CHECK (a > 0 AND b <> ';')
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci COMMENT='it''s; "the" table -- /* ';
INSERT INTO t (a) VALUES (3), (9); INSERT INTO t () VALUES ();
ALTER TABLE t ADD COLUMN d VARCHAR(9) DEFAULT ';' AFTER a, DROP KEY `u;`, ADD KEY (d(3) ASC), MODIFY s SET('x;', 'y', 'z') NULL;
